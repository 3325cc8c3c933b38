"""Intervals from a paired bootstrap over utterances: every rate and ratio here is a ratio of sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Array = NDArray[np.float64] | NDArray[np.int64]
RESAMPLES = 9_999


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


def ratio_of_sums(numerator: Array, denominator: Array, seed: int = 0) -> Interval:
    """Sum over sum with a percentile bootstrap over utterances.

    For a word error rate give errors and words; for a paired difference give the difference of the two policies'
    errors and the words, so that each resample draws the same utterances for both.
    """

    def statistic(top: Array, bottom: Array, axis: int) -> NDArray[np.float64]:
        return np.asarray(top.sum(axis=axis) / np.maximum(bottom.sum(axis=axis), 1e-12))

    value = float(numerator.sum() / max(float(denominator.sum()), 1e-12))
    if len(numerator) < 2:
        return Interval(value, float("-inf"), float("inf"))  # one utterance says nothing of others
    result = bootstrap(
        (numerator, denominator),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1_000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(result.low), float(result.high))


def paired_difference(errors: Array, baseline_errors: Array, totals: Array, seed: int = 0) -> Interval:
    """Error rate of a policy minus that of the baseline on the same utterances."""
    return ratio_of_sums(errors - baseline_errors, totals, seed)
