"""When a candidate cannot matter any more: it is surely hopeless, or enough others are surely better."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from tuner.evaluate.records import Evaluation
from tuner.search.drift import HOPELESS, nats

RUNGS = (0.25, 0.5)  # shares of the search split after which a candidate is compared
LEVEL = 0.005  # the risk, in each comparison, of calling one better that is not
SLACK = 0.01  # of the baseline's cost: policies that spend the same budget differ by the step of a threshold


@dataclass
class Race:
    """Compares a candidate with those that ran to the end, utterance by utterance.

    Only the best few of a search are judged again. A candidate is out when as many as that, each no dearer, find the
    baseline's answers likelier on the same utterances than it does: a paired t-test each, one-sided.

    Args:
        places: how many get into the final.
    """

    places: int
    _runners: list[tuple[float, Evaluation]] = field(default_factory=list)

    def finished(self, evaluation: Evaluation, cost: float) -> None:
        """Takes note of a feasible candidate that heard everything."""
        self._runners.append((cost, evaluation))

    def is_out(self, partial: Evaluation, cost: float) -> bool:
        """Whether a candidate of that cost, which heard some of the utterances, may be left at that."""
        rivals = [evaluation.like(partial) for dearness, evaluation in self._runners if dearness <= cost + SLACK]
        if len(rivals) < self.places:
            return False
        own = nats(partial)
        better = sum(_surely_above(own, nats(rival)) for rival in rivals)
        return better >= self.places


def is_hopeless(partial: Evaluation, baseline: Evaluation) -> bool:
    """Whether a candidate that heard some of the utterances surely drifts further than any policy that is of use."""
    bare = baseline.like(partial)
    return _surely_above(nats(partial), nats(bare) + HOPELESS * bare.sizes)


def _surely_above(these: NDArray[np.float64], those: NDArray[np.float64]) -> bool:
    """The paired t-test that these [utterances] are no greater than those, failed: never by a single utterance, nor
    where one is infinite, of which nothing can be said."""
    if len(these) < 2 or not np.isfinite([these, those]).all():
        return False
    differences = these - those
    spread = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() > t.ppf(1 - LEVEL, len(differences) - 1) * spread)
