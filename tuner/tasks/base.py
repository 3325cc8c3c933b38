"""What a task is: an instruction for the model and a way to count its errors."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from tuner.errors import TunerError

_MODULES = {"asr": "tuner.tasks.asr"}


@dataclass(frozen=True)
class Score:
    """The errors in one output, of a total that they are measured against (for ASR: words of the reference)."""

    errors: int
    total: int

    @property
    def clamped(self) -> int:
        """Errors, at most ``total``: an output that never ends costs no more than an empty one."""
        return min(self.errors, self.total)


class Task(Protocol):
    """One instruction and its metric, lower is better; counted per utterance, so that differences can be paired."""

    @property
    def name(self) -> str: ...

    @property
    def metric(self) -> str:
        """The metric's short name, such as ``wer``."""

    @property
    def prompt(self) -> str:
        """The instruction that follows the audio."""

    @property
    def transcribes(self) -> bool:
        """Whether the answer is the transcript, which some models are asked for in a way of their own."""

    def max_new_tokens(self, seconds: float) -> int:
        """The output length that no sound answer to this much audio exceeds."""

    def score(self, reference: str, hypothesis: str) -> Score:
        """Count the errors of one output."""


def rate(errors: Sequence[int], totals: Sequence[int]) -> float:
    """The corpus' error rate, the ratio of sums: 0.05 is five errors in a hundred.

    Raises:
        TunerError: the totals sum to zero, so there is nothing to measure errors against.
    """
    total = int(sum(totals))
    if total == 0:
        raise TunerError(f"no error rate: the {len(totals)} references are empty after normalisation; check the texts")
    return int(sum(errors)) / total


def get(name: str) -> Task:
    """The task of that name.

    Raises:
        TunerError: there is no such task.
    """
    if name not in _MODULES:
        raise TunerError(f"no task is called {name!r}; there are: {', '.join(sorted(_MODULES))}")
    return cast(Task, importlib.import_module(_MODULES[name]).TASK)
