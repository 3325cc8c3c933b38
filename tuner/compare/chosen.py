"""What another comparison chose, to be measured on other speech without searching again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tuner.compare.found import FILE, Entry
from tuner.compare.plan import Cell, Plan
from tuner.errors import SearchError
from tuner.search.runfolder import RunFolder


@dataclass(frozen=True)
class Chosen:
    """The choices of a comparison.

    Attributes:
        run: its name.
        chosen_on: the speech that they were chosen on.
        trials: how many settings of each method were tried for each budget.
        cells: by method and budget.
    """

    run: str
    chosen_on: str
    trials: int
    cells: Mapping[Cell, Entry]

    @classmethod
    def by(cls, plan: Plan) -> Chosen | None:
        """Those of the comparison that a plan names; None where it searches.

        Raises:
            SearchError: there is no such comparison, or it is of another task. (Another model's policies do not apply.)
        """
        if plan.chosen_by is None:
            return None
        path = RunFolder.find_run(plan.chosen_by, plan.search.runs).path
        if not (path / FILE).is_file():
            raise SearchError(f"{path} holds no finished comparison; finish it with tune compare --run {path.name}")
        found = json.loads((path / FILE).read_text(encoding="utf-8"))
        if found["task"] != plan.search.judged.name:
            raise SearchError(f"{path} compared methods for {found['task']}; use --task {found['task']}")
        entries = [Entry.from_json(one) for one in found["entries"]]
        cells = {one.cell: one for one in entries if one.cell is not None}
        return cls(path.name, f"{found['dataset']}/{found['chosen_on']}", found["trials"], cells)

    def limit(self, plan: Plan) -> Plan:
        """The plan without the methods and budgets that were not compared.

        Raises:
            SearchError: none is left.
        """
        methods = tuple(one for one in plan.methods if any(cell.method == one for cell in self.cells))
        levels = tuple(one for one in plan.levels if all(Cell(method, one) in self.cells for method in methods))
        if not methods or not levels:
            there = ", ".join(dict.fromkeys(cell.method for cell in self.cells))
            budgets = ", ".join(f"{budget:g}" for budget in sorted({cell.budget for cell in self.cells}, reverse=True))
            raise SearchError(f"none of that was compared in {self.run}; it compared {there} at {budgets}")
        return replace(plan, methods=methods, levels=levels, search=replace(plan.search, trials=self.trials))
