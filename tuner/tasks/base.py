"""What a task is: an instruction for the model, what a right answer is, and how answers are scored."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import cast

from tuner.data.utterances import Utterance
from tuner.errors import TunerError
from tuner.tasks import words
from tuner.tasks.metric import DISAGREEMENT, Metric, Statistics, register

_MODULES = {"asr": "tuner.tasks.asr", "qa": "tuner.tasks.qa", "translation": "tuner.tasks.translation"}


@dataclass(frozen=True)
class Task:
    """One instruction, and statistics per utterance that the metric is computed from.

    Attributes:
        name: as `--task` and policies have it.
        metric: what answers are judged by.
        prompt: the instruction that follows the audio.
        others: metrics of the same statistics that can be asked for instead.
        transcribes: whether the answer is the transcript, which some models are asked for in a way of their own.
        column: what an utterance must have, as manifests call it.
    """

    name: str
    metric: Metric
    prompt: str
    others: tuple[Metric, ...] = ()
    transcribes: bool = False
    column: str = "text"

    def max_new_tokens(self, seconds: float) -> int:
        """The output length that no sound answer to this much audio exceeds: 16 and ten for every second, twice what
        fast speech needs."""
        return 16 + math.ceil(10 * seconds)

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        """The right answers; none where the data set does not tell."""
        raise NotImplementedError

    def score(self, utterance: Utterance, said: str) -> Statistics:
        """What `metric` and `others` are computed from, of one answer."""
        raise NotImplementedError

    def strays(self, own: str, said: str) -> Statistics:
        """How far an answer is from the model's `own` without a policy: errors, size, and errors up to it.

        Word errors, in any language and of translations too: a rate that means something for a single sentence.
        """
        return words.word_errors(own, said, words.plain)

    def statistics(self, utterance: Utterance, said: str, own: str | None = None) -> Statistics:
        """What `metric` is computed from. Where agreement is judged by, the model's `own` answer takes the place of the
        reference; until that is known, the answer is taken for it."""
        if self.metric != DISAGREEMENT:
            return self.score(utterance, said)
        return self.strays(said if own is None else own, said)


def get(name: str) -> Task:
    """The task of that name.

    Raises:
        TunerError: there is no such task.
    """
    if name not in _MODULES:
        raise TunerError(f"no task is called {name!r}; there are: {', '.join(sorted(_MODULES))}")
    task = cast(Task, importlib.import_module(_MODULES[name]).TASK)
    for metric in (task.metric, *task.others):
        register(metric)
    return task
