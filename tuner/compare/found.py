"""What a comparison found, as plain values and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tuner.compare.plan import Cell
from tuner.evaluate.statistics import Interval
from tuner.policy import Policy
from tuner.search.outcome import Judgement
from tuner.tasks.metric import Metric, named

FILE = "compare.json"
Result = Literal["better", "undecided", "worse", "unmatched"]


@dataclass(frozen=True)
class Entry:
    """A method at its best setting under a budget, or a preset, which has none.

    Attributes:
        trials, feasible: how many settings were tried, and how many of them kept the budget.
        seconds: spent on it in all.
        judged: on the speech that decides; None where nothing kept the budget.
        first_token: time to the first token over the baseline's, a median over utterances of several lengths.
        reason: why nothing was judged.
        drift: nats a word, or a question, by which the baseline's answers are less likely, where it was judged.
    """

    method: str
    budget: float | None
    trials: int
    feasible: int
    seconds: float
    judged: Judgement | None = None
    first_token: float | None = None
    reason: str = ""
    drift: float | None = None

    @property
    def cell(self) -> Cell | None:
        """Where it belongs; None for presets."""
        return None if self.budget is None else Cell(self.method, self.budget)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        plain = asdict(self)
        if self.judged is not None:
            plain["judged"]["policy"] = self.judged.policy.model_dump(mode="json", by_alias=True)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """The inverse of `to_json`."""
        judged = data["judged"]
        if judged is not None:
            tuples = {name: tuple(judged[name]) for name in ("ci95", "quality_ci95", "parts")}
            judged = Judgement(**{**judged, **tuples, "policy": Policy.model_validate(judged["policy"])})
        return cls(**{**data, "judged": judged})


@dataclass(frozen=True)
class Contrast:
    """The champion against one rival at one budget, on the same utterances.

    `difference` is by how much its loss exceeds the rival's, so below 0 the champion is better, with the two-sided 95 %
    bootstrap interval; `drift` is the same of their drifts. All are None where one of both has no policy, and `drift`
    where nobody asked how likely the baseline's answers are.
    """

    rival: str
    budget: float
    result: Result
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    drift: Interval | None = None


@dataclass(frozen=True)
class Compared:
    """A comparison. `split` is where all was measured; `chosen_on` where the settings were chosen, the same split where
    there is no other. `quality` is the baseline's metric as a fraction, `champion` the method that the others are held
    against, `missing` what an interrupted comparison lacks."""

    model: str
    task: str
    metric: str
    dataset: str
    split: str
    chosen_on: str
    utterances: int
    quality: float
    trials: int
    champion: str
    entries: tuple[Entry, ...]
    contrasts: tuple[Contrast, ...]
    verdict: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def judged_by(self) -> Metric:
        """The metric."""
        return named(self.metric)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that were searched, in their order."""
        return tuple(dict.fromkeys(one.method for one in self.entries if one.budget is not None))

    @property
    def levels(self) -> tuple[float, ...]:
        """The budgets, the highest first."""
        return tuple(sorted({one.budget for one in self.entries if one.budget is not None}, reverse=True))

    def at(self, method: str, budget: float) -> Entry | None:
        """What a method did under a budget; None where that is not done."""
        return next((one for one in self.entries if (one.method, one.budget) == (method, budget)), None)

    def against(self, rival: str, budget: float) -> Contrast | None:
        """The champion against a rival there."""
        return next((one for one in self.contrasts if (one.rival, one.budget) == (rival, budget)), None)

    def save(self, folder: Path) -> Path:
        """Writes compare.json."""
        content = {**asdict(self), "entries": [one.to_json() for one in self.entries]}
        path = folder / FILE
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return path
