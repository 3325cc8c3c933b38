"""Intervals from a paired bootstrap over utterances: whatever is computed from sums over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from tuner.tasks.metric import Metric, Values

Array = NDArray[np.float64] | NDArray[np.int64]
RESAMPLES = 9_999


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


def ratio_of_sums(numerator: Array, denominator: Array, seed: int = 0) -> Interval:
    """Sum over sum; each resample draws the same utterances for both."""
    return _resampled(lambda drawn: drawn @ numerator / np.maximum(drawn @ denominator, 1e-12), len(numerator), seed)


def metric_of(statistics: Values, metric: Metric, seed: int = 0) -> Interval:
    """A metric of the statistics [utterances, statistics]."""
    return _resampled(lambda drawn: metric.value(drawn @ statistics), len(statistics), seed)


def paired_difference(statistics: Values, baseline: Values, metric: Metric, seed: int = 0) -> Interval:
    """By how much a policy's loss exceeds the baseline's on the same utterances, so above 0 is worse.

    Args:
        statistics: of the policy, [utterances, statistics].
        baseline: those of the baseline; a resample draws the same utterances for both.
    """
    return _resampled(lambda drawn: metric.worsening(drawn @ statistics, drawn @ baseline), len(statistics), seed)


def _resampled(statistic: Callable[[Values], Values], count: int, seed: int) -> Interval:
    """A percentile bootstrap; `statistic` gets how often each utterance is drawn, [..., utterances]."""
    value = float(statistic(np.ones(count)))
    if count < 2:
        return Interval(value, float("-inf"), float("inf"))  # one utterance says nothing of others

    def of_places(places: Array, axis: int) -> Values:
        rows = places.reshape(-1, count).astype(np.int64)
        apart = rows + count * np.arange(len(rows))[:, None]
        drawn = np.bincount(apart.ravel(), minlength=rows.size).reshape(places.shape)
        return statistic(drawn.astype(np.float64))

    result = bootstrap(
        (np.arange(count),),
        of_places,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1_000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(result.low), float(result.high))
