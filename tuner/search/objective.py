"""What a sampler is asked to make small."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.study import StudyDirection

from tuner.search.drift import HOPELESS
from tuner.search.settings import Settings

FOCUS = 0.95  # of the budget: below it the sampler is not rewarded for saving more
KNEE = 0.005  # nats a word: above it the sampler's scale of drifts is logarithmic


@dataclass(frozen=True)
class Objective:
    """Drift alone where every policy spends its budget: costs then differ by the step of a threshold, no reason to
    prefer one, and a sampler that minimises both does no better than random search (BENCHMARKS.md). Else drift and
    cost.

    Both are flat where no policy is wanted, so the sampler looks near the budget and among usable policies instead of
    tracing the whole front down to gibberish. Results keep the true values.

    Args:
        spent: whether policies are made to spend the budget.
        budget: of the main cost.
    """

    spent: bool
    budget: float

    @classmethod
    def of(cls, settings: Settings) -> Objective:
        """That of a search."""
        return cls(settings.solve, settings.budgets[settings.main_cost])

    @property
    def name(self) -> str:
        """What trials are compared by."""
        return "drift" if self.spent else "drift and cost"

    @property
    def directions(self) -> list[StudyDirection]:
        """Optuna's, one for each value."""
        return [StudyDirection.MINIMIZE] * (1 if self.spent else 2)

    def values(self, drift: float, cost: float) -> tuple[float, ...]:
        """A trial as its sampler sees it."""
        drift = min(drift, HOPELESS)
        if self.spent:
            return (math.asinh(drift / KNEE),)  # twice the drift is as bad among good policies as among poor ones
        return drift, max(cost, FOCUS * self.budget)
