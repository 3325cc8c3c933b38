"""Everything a probe is told, in one frozen value."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tuner.errors import TunerError
from tuner.probe.oracle import METHODS
from tuner.tasks.base import Task
from tuner.tasks.joint import Joint
from tuner.tasks.known import get

RETENTIONS = (0.25, 0.5, 0.75)
EVERY, MANY = 5, 16  # the published step, for decoders of more layers than that; others are probed layer by layer


@dataclass(frozen=True)
class Settings:
    """A probe. `layers` names layers outright, `step` takes every so many from the first on."""

    model: str
    task: str = "asr"
    prompt: str | None = None  # the task's own, or the one that the model's family documents
    dataset: str | None = None
    dataset_config: str | None = None
    split: str | None = None
    limit: int | None = None
    max_bad: int = 0
    methods: tuple[str, ...] = tuple(METHODS)
    retentions: tuple[float, ...] = RETENTIONS
    layers: tuple[int, ...] = ()
    step: int | None = None
    tolerance: float = 0.01  # of the metric, as a fraction: 0.01 is one point of WER
    device: str | None = None
    dtype: str = "auto"
    attn_implementation: str | None = None
    batch_size: int = 16
    memory: float = 4.0  # GB of the computer's, for the encoded audio; the rest goes to the disk
    trust_remote_code: bool = False
    run: str | None = None
    runs: Path = field(default=Path("runs"))
    command: str = ""

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is loaded."""
        if isinstance(self.judged, Joint):
            raise TunerError(f"task {self.task}: redundancy depends on the task; probe each by itself")
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise TunerError(f"method {unknown[0]!r} is not known; expected some of {', '.join(METHODS)}")
        if not self.methods or not self.retentions:
            raise TunerError("nothing to probe: give at least one of --methods and one of --retentions")
        if wrong := [share for share in self.retentions if not 0 < share < 1]:
            raise TunerError(f"retention {wrong[0]:g}: expected the share of tokens that stays, between 0 and 1")
        if self.step is not None and self.step < 1:
            raise TunerError(f"step: expected at least 1 layer, got {self.step}")
        if self.tolerance < 0:
            raise TunerError(f"tolerance: expected 0 or more, got {self.tolerance}")

    @property
    def judged(self) -> Task:
        """The task, asked as the settings say."""
        return get(self.task) if self.prompt is None else get(self.task).with_prompt(self.prompt)

    def probed(self, layers: int) -> tuple[int, ...]:
        """Which of a decoder's `layers` are probed, ascending.

        Raises:
            TunerError: a layer that it does not have.
        """
        if beyond := [layer for layer in self.layers if not 0 <= layer < layers]:
            raise TunerError(f"{self.model} has no layer {beyond[0]}; it has layers 0 to {layers - 1}")
        step = self.step or (1 if layers <= MANY else EVERY)
        return tuple(sorted(set(self.layers))) or tuple(range(0, layers, step))

    def run_name(self, model: str) -> str:
        """The run's name: as given, else model, task and time."""
        return self.run or f"{model}-{self.judged.name}-probe-{time.strftime('%Y%m%d-%H%M%S')}"

    def to_plain(self) -> dict[str, Any]:
        """For YAML and MLflow: strings, numbers, lists, None."""
        plain = {"kind": "probe", **asdict(self), "runs": str(self.runs)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
