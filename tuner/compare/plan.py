"""Everything a comparison is told, in one frozen value."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tuner.errors import SearchError
from tuner.methods.known import METHODS
from tuner.search.settings import Settings
from tuner.tasks.joint import Joint

COST = "prefill_flops"  # what is matched
PROPORTIONAL = "+proportional"  # behind a method's name: its merged tokens count in attention by their size
MERGING = ("affinity", "quantile", "uniform", "atome", "fastadasp", "samap")  # for the others all sizes are one
LEVELS = (0.9, 0.8, 0.7, 0.6, 0.5)
KIND = "comparison"


@dataclass(frozen=True, order=True)
class Cell:
    """One method at one budget: a search of its own."""

    method: str
    budget: float

    @property
    def name(self) -> str:
        """For files and metrics, as in `uniform-0.70`."""
        return f"{self.method}-{self.budget:.2f}"


@dataclass(frozen=True)
class Plan:
    """A comparison. Every cell is searched as `search` says, but under its own budget and in its method's space.

    All other methods are held against the first one. `chosen_by` is the run of another comparison, whose choices are
    measured instead of searching for any.
    """

    search: Settings
    methods: tuple[str, ...] = (*(f"{name}{PROPORTIONAL}" for name in MERGING), *METHODS)
    levels: tuple[float, ...] = LEVELS
    chosen_by: str | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is loaded."""
        if unknown := [name for name in self.methods if name.removesuffix(PROPORTIONAL) not in METHODS]:
            known = f"{', '.join(METHODS)}, each with or without {PROPORTIONAL}"
            raise SearchError(f"method {unknown[0]!r} is not known; expected some of {known}")
        if isinstance(self.search.judged, Joint):
            raise SearchError(f"--task {self.search.task}: methods are compared for one task at a time")
        if not self.methods or not self.levels:
            raise SearchError("nothing to compare: give at least one of --methods and one of --budgets")
        for budget in self.levels:
            self.search_within(budget)

    def cells(self) -> Iterator[Cell]:
        """Every method at every budget, the highest budget first."""
        for budget in sorted(set(self.levels), reverse=True):
            for method in dict.fromkeys(self.methods):
                yield Cell(method, budget)

    def search_within(self, budget: float) -> Settings:
        """The settings of the searches under a budget."""
        return replace(self.search, budgets={COST: budget})

    def named(self) -> Plan:
        """The same with the name of the run: as given, else model, task and time."""
        subject = self.search.policy_name.rpartition("-")[0]  # without the budget
        name = self.search.run or f"{subject}-compare-{time.strftime('%Y%m%d-%H%M%S')}"
        return replace(self, search=replace(self.search, run=name))

    def to_plain(self) -> dict[str, Any]:
        """For YAML and MLflow: strings, numbers, lists, None."""
        search = {name: value for name, value in self.search.to_plain().items() if name not in ("budgets", "space")}
        plain = {"kind": KIND, **search, "methods": self.methods, "levels": self.levels, "chosen_by": self.chosen_by}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
