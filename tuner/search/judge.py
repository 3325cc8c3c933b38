"""Policies held against the baseline on one split: quality difference, cost ratios, whether the budgets hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuner.evaluate.costing import COSTS, Costing, ratios
from tuner.evaluate.records import Evaluation
from tuner.evaluate.statistics import Interval, paired_difference, ratio_of_sums
from tuner.policy import Policy
from tuner.search.outcome import Judgement


@dataclass(frozen=True)
class Verdict:
    """What counts about one trial. `bounds` are the upper 95 % bounds of the cost ratios, which the budgets are held
    against, so that they hold on audio that was not heard as well."""

    difference: Interval
    costs: Mapping[str, float]
    bounds: Mapping[str, float]
    feasible: bool


class Judge:
    """Compares evaluations of one split with the baseline's."""

    def __init__(self, baseline: Evaluation, costing: Costing, budgets: Mapping[str, float]) -> None:
        self.baseline, self.budgets = baseline, budgets
        self._costing = costing
        self._costs = costing.count(baseline)

    def costs(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, float]]:
        """The ratios of all costs, and the upper bounds of those with a budget."""
        counted = self._costing.count(evaluation)
        bounds = {name: ratio_of_sums(counted[name], self._costs[name]).high for name in self.budgets}
        return ratios(counted, self._costs), bounds

    def verdict(self, evaluation: Evaluation) -> Verdict:
        """Difference, costs and feasibility of one evaluation."""
        costs, bounds = self.costs(evaluation)
        difference = paired_difference(evaluation.errors, self.baseline.errors, self.baseline.totals)
        feasible = all(bounds[name] <= budget for name, budget in self.budgets.items())
        return Verdict(difference, costs, bounds, feasible)

    def judgement(self, label: str, policy: Policy, evaluation: Evaluation) -> Judgement:
        """The same for held-out speech, with everything a report shows.

        This is the audio that trials kept a margin for, so here the measured ratio has to keep the budget.
        """
        verdict = self.verdict(evaluation)
        quality = ratio_of_sums(evaluation.errors, evaluation.totals)
        return Judgement(
            label=label,
            policy=policy,
            split=evaluation.split,
            n=len(evaluation.records),
            quality=quality.value,
            quality_ci95=(quality.low, quality.high),
            baseline=self.baseline.quality,
            difference=verdict.difference.value,
            ci95=(verdict.difference.low, verdict.difference.high),
            costs={name: verdict.costs[name] for name in COSTS},
            broken=evaluation.broken,
            feasible=all(verdict.costs[name] <= budget for name, budget in self.budgets.items()),
        )
