"""Policies held against the baseline on one split: quality, cost ratios, whether budgets and the loop guard hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.evaluate.costing import COSTS, Costing, ratios
from tuner.evaluate.records import Evaluation
from tuner.evaluate.statistics import Interval, metric_of, paired_difference, ratio_of_sums
from tuner.policy import Policy
from tuner.search.outcome import Judgement

BROKEN = "broken"
LOOPS = 0.005  # of all outputs: so many more than the baseline's may be broken, half a point


@dataclass(frozen=True)
class Verdict:
    """What counts about one trial.

    `bounds` are the upper 95 % bounds of the cost ratios, which the budgets are held against, so that they hold on
    audio that was not heard as well. `broken` is the share of outputs that are empty or were cut off, above the
    baseline's. Of an evaluation without answers it is nan, as is the difference, and only the budgets decide.
    """

    difference: Interval
    costs: Mapping[str, float]
    bounds: Mapping[str, float]
    broken: float
    feasible: bool


class Judge:
    """Compares evaluations of one split, or of some of its utterances, with the baseline's."""

    def __init__(self, baseline: Evaluation, costing: Costing, budgets: Mapping[str, float]) -> None:
        self.baseline, self.budgets = baseline, budgets
        self._costing = costing
        self._costs = costing.count(baseline)
        self._places = {record.id: place for place, record in enumerate(baseline.records)}

    def costs(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, float]]:
        """The ratios of all costs, and the upper bounds of those with a budget."""
        counted = self._costing.count(evaluation)
        heard = [self._places[record.id] for record in evaluation.records]
        bare = {name: values[heard] for name, values in self._costs.items()}
        found = ratios(counted, bare)
        return found, {name: self._bound(found[name], counted[name], bare[name]) for name in self.budgets}

    def verdict(self, evaluation: Evaluation) -> Verdict:
        """Difference, costs and feasibility of one evaluation."""
        costs, bounds = self.costs(evaluation)
        feasible = all(bounds[name] <= budget for name, budget in self.budgets.items())
        if not evaluation.decoded:
            return Verdict(Interval(math.nan, math.nan, math.nan), costs, bounds, math.nan, feasible)
        difference = paired_difference(evaluation.statistics, self.baseline.statistics, self.baseline.metric)
        broken = round(evaluation.broken - self.baseline.broken, 9)  # 11 in 200 less 10 in 200 is LOOPS, not above it
        return Verdict(difference, costs, bounds, broken, feasible and broken <= LOOPS)

    def constraints(self, evaluation: Evaluation) -> dict[str, float]:
        """By how much each budget and the loop guard are exceeded; none is where all are 0 or less.

        Budgets by name, relative to the budget; `broken` as a share of the outputs. An evaluation without answers
        counts as no more broken than the baseline, because samplers want the same constraints of every trial.
        """
        verdict = self.verdict(evaluation)
        excess = {name: verdict.bounds[name] / budget - 1 for name, budget in self.budgets.items()}
        return {**excess, BROKEN: (verdict.broken if evaluation.decoded else 0.0) - LOOPS}

    def judgement(self, label: str, policy: Policy, evaluation: Evaluation) -> Judgement:
        """The same for held-out speech, with everything a report shows.

        This is the audio that trials kept a margin for, so here the measured ratio has to keep the budget.
        """
        verdict = self.verdict(evaluation)
        quality = metric_of(evaluation.statistics, evaluation.metric)
        return Judgement(
            label=label,
            policy=policy,
            split=evaluation.split,
            n=len(evaluation.records),
            quality=quality.value,
            quality_ci95=(quality.low, quality.high),
            beside=evaluation.beside,
            baseline=self.baseline.quality,
            difference=verdict.difference.value,
            ci95=(verdict.difference.low, verdict.difference.high),
            costs={name: verdict.costs[name] for name in COSTS},
            broken=evaluation.broken,
            within_budget=all(verdict.costs[name] <= budget for name, budget in self.budgets.items()),
            loops=verdict.broken > LOOPS,
        )

    def _bound(self, ratio: float, counted: NDArray[np.float64], bare: NDArray[np.float64]) -> float:
        """What a budget is held against, of a cost by utterance and its ratio to the baseline's."""
        return ratio_of_sums(counted, bare).high


class Matched(Judge):
    """Holds budgets against the measured ratios themselves, for methods that are compared at the same cost.

    The margin of a bound is wide for a method that saves more on one utterance than on another and nothing for one that
    always keeps the same share, which would then have more to spend.
    """

    def _bound(self, ratio: float, counted: NDArray[np.float64], bare: NDArray[np.float64]) -> float:
        return ratio
