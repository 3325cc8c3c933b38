"""From trials to one policy: the front, the finalists, and the choice on speech that the search never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import rankdata

from tuner.search.outcome import Judgement, TrialResult

TIE = 0.001  # a tenth of a point: about one word in the few hundred that a bound rests on


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats in both coordinates (lower is better); of equal points the first.

    A point with nan, of a trial that was not decoded, is never among them.
    """
    kept: list[int] = []
    best = float("inf")
    known = [index for index, point in enumerate(points) if not any(map(math.isnan, point))]
    for index in sorted(known, key=lambda i: (points[i][1], points[i][0], i)):
        if points[index][0] < best:
            best = points[index][0]
            kept.append(index)
    return kept


def finalists(trials: Sequence[TrialResult], cost: str, count: int) -> list[TrialResult]:
    """The `count` feasible and decoded trials that do best by errors and by drift together (the sum of both ranks), the
    cheaper of equal ones first.

    Not the front alone: what is best on the search split is partly luck, so the runners-up get their chance, and the
    front's cheap end is of no use to someone whose budget is kept already.
    """
    left = [trial for trial in trials if trial.feasible and trial.decoded and trial.repeats is None]
    ranks = rankdata([trial.difference for trial in left]) + rankdata([trial.drift for trial in left])
    order = sorted(zip(ranks, left, strict=True), key=lambda one: (one[0], one[1].costs[cost]))
    return [trial for _, trial in order[:count]]


def choose(judgements: Sequence[Judgement]) -> Judgement | None:
    """The feasible judgement whose upper bound of the difference is lowest; None if none is feasible.

    Bounds that hardly differ are a tie, which goes to the policy with fewer sites, then to the lower bound.
    """
    feasible = [judgement for judgement in judgements if judgement.feasible]
    if not feasible:
        return None
    best = min(judgement.ci95[1] for judgement in feasible)
    ties = [judgement for judgement in feasible if judgement.ci95[1] <= best + TIE]
    return min(ties, key=lambda judgement: (len(judgement.policy.sites), judgement.ci95[1]))
