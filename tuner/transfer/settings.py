"""Everything a transfer is told, in one frozen value."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tuner.data.conditions import Condition
from tuner.errors import TunerError
from tuner.tasks.base import Task
from tuner.tasks.joint import Joint
from tuner.tasks.known import get


@dataclass(frozen=True)
class Settings:
    """Policies by file or name, and where they are tried: every task on every data set, as it is and under each
    condition."""

    policies: tuple[str, ...]
    model: str | None = None  # the policies' own
    task: str = "asr"
    prompt: str | None = None
    datasets: tuple[str, ...] = ()
    dataset_config: str | None = None
    split: str | None = None
    limit: int | None = None
    max_bad: int = 0
    speeds: tuple[float, ...] = ()
    noise: tuple[float, ...] = ()  # dB
    device: str | None = None
    dtype: str = "auto"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    batch_size: int = 16
    run: str | None = None
    runs: Path = field(default=Path("runs"))
    command: str = ""

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is loaded."""
        if not self.policies:
            raise TunerError("no policy: give --policy, a file or the name of a shipped policy")
        if self.batch_size < 1:
            raise TunerError(f"batch size: expected at least 1, got {self.batch_size}")
        list(self.conditions)
        _ = self.tasks

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One by one, asked as the settings say."""
        task = get(self.task)
        if self.prompt is not None:
            task = task.with_prompt(self.prompt)
        return tuple(task.tasks.values()) if isinstance(task, Joint) else (task,)

    @property
    def conditions(self) -> Iterator[Condition]:
        """The speech as it is, then each speed and each level of noise."""
        yield Condition()
        yield from (Condition(speed=speed) for speed in self.speeds)
        yield from (Condition(noise=noise) for noise in self.noise)

    def run_name(self, model: str) -> str:
        """The run's name: as given, else model and time."""
        return self.run or f"{model}-transfer-{time.strftime('%Y%m%d-%H%M%S')}"

    def to_plain(self) -> dict[str, Any]:
        """For YAML and MLflow: strings, numbers, lists, None."""
        plain = {"kind": "transfer", **asdict(self), "runs": str(self.runs)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
