"""Everything a search is told, in one frozen value: what the command line and the Python call fill in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tuner.errors import SearchError
from tuner.evaluate.costing import COSTS
from tuner.search.agreement import judged_by
from tuner.tasks.base import Task
from tuner.tasks.known import get

SAMPLERS = ("auto", "gp", "tpe", "nsga2", "random")


@dataclass(frozen=True)
class Settings:
    """A search. Splits that are not named come from dividing `split`; the shipped data set has them all."""

    model: str
    budgets: Mapping[str, float]
    task: str = "asr"
    prompt: str | None = None  # the task's own, or the one that the model's family documents
    metric: str | None = None  # the task's own, another of it, or "agreement" with the baseline, which needs no texts
    dataset: str | None = None
    dataset_config: str | None = None
    split: str | None = None
    search_split: str | None = None
    selection_split: str | None = None
    test_split: str | None = None
    force_test: bool = False
    limit: int | None = None
    test_limit: int | None = None  # of the test split, where another one than for the rest
    max_bad: int = 0
    space: str = "triple"
    from_probe: str | None = None  # a probe's run, by whose redundancy map the space is narrowed
    trials: int = 50
    timeout: float | None = None  # seconds
    sampler: str = "auto"
    solve: bool = True  # the last threshold for the budget, where the space allows it
    seed: int = 0
    start_from: tuple[str, ...] = ()  # policies and run folders whose policies are judged beside the presets
    tolerance: float = 0.01  # of the metric, as a fraction: 0.01 is one point of WER
    finalists: int = 8
    min_audio_tokens: int | None = None  # shorter audio is left alone; measured where it is not given
    device: str | None = None
    dtype: str = "auto"
    attn_implementation: str | None = None
    batch_size: int = 16
    memory: float = 4.0  # GB of the computer's, for the encoded audio that a search keeps; the rest goes to the disk
    trust_remote_code: bool = False
    run: str | None = None
    runs: Path = field(default=Path("runs"))
    policies: Path = field(default=Path("policies"))
    command: str = ""  # how the search was called, for the record

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is loaded."""
        if not self.budgets:
            raise SearchError("no budget was given; for example --budget 0.7")
        for name, budget in self.budgets.items():
            if name not in COSTS:
                raise SearchError(f"budget {name!r} is not known; a budget bounds one of {', '.join(COSTS)}")
            if not 0 < budget <= 1:
                raise SearchError(f"budget {name}={budget}: expected a ratio to the baseline, above 0 and at most 1")
        _ = self.judged
        if self.sampler not in SAMPLERS:
            raise SearchError(f"sampler {self.sampler!r} is not known; expected one of {', '.join(SAMPLERS)}")
        counts: dict[str, int | None] = {
            "trials": self.trials,
            "finalists": self.finalists,
            "batch size": self.batch_size,
        }
        counts |= {"limit": self.limit, "test limit": self.test_limit}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise SearchError(f"{name}: expected at least 1, got {value}")
        if self.memory < 0:
            raise SearchError(f"memory: expected 0 or more GB, got {self.memory}")
        if self.tolerance < 0:
            raise SearchError(f"tolerance: expected 0 or more, got {self.tolerance}")
        if bool(self.search_split) != bool(self.selection_split):
            raise SearchError("name both --search-split and --selection-split, or neither")

    @property
    def main_cost(self) -> str:
        """The cost that is traded against quality: the first budget's."""
        return next(iter(self.budgets))

    @property
    def judged(self) -> Task:
        """The task, asked and judged as the settings say."""
        task = get(self.task) if self.prompt is None else get(self.task).with_prompt(self.prompt)
        return judged_by(self.metric, task)

    @property
    def policy_name(self) -> str:
        """Model, task and budget, as in `reference-asr-0.70`."""
        model = self.model.rstrip("/").rsplit("/", 1)[-1].lower()
        budget = "-".join(
            f"{value:.2f}" if name == "prefill_flops" else f"{name.replace('_', '-')}-{value:.2f}"
            for name, value in self.budgets.items()
        )
        task = get(self.task)
        judged = "" if self.metric in (None, task.metric.name) else f"-{self.metric}"
        return f"{model}-{task.name}{judged}-{budget}"

    def run_name(self) -> str:
        """The run's name: as given, else the policy's with the time."""
        return self.run or f"{self.policy_name}-{time.strftime('%Y%m%d-%H%M%S')}"

    @classmethod
    def resumed(cls, config: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
        """The settings in a run's `config.yaml`, except for what is given anew (more trials, another device)."""
        if "budgets" not in config:
            raise SearchError(f"the run {config.get('run') or 'of that name'} is no search, so none can go on in it")
        names = {one.name for one in fields(cls)}
        kept = {name: value for name, value in config.items() if name in names}
        kept |= {name: Path(kept[name]) for name in ("runs", "policies") if name in kept}
        kept |= {"start_from": tuple(kept.get("start_from", ()))}
        return cls(**(kept | dict(given)))

    def to_plain(self) -> dict[str, Any]:
        """For YAML and MLflow: strings, numbers, None."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
