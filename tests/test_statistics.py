"""Intervals: right on average, paired, and defined where nothing differs."""

from __future__ import annotations

import numpy as np

from tuner.evaluate.statistics import paired_difference, ratio_of_sums


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        words = rng.integers(5, 20, size=120)
        interval = ratio_of_sums(rng.binomial(words, 0.1), words)
        covered += interval.low <= 0.1 <= interval.high
    assert 85 <= covered <= 100


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(1)
    words = np.full(100, 10)
    hard = rng.binomial(words, 0.5)  # the same difficult utterances for both
    worse = hard + (np.arange(100) < 5)
    paired = paired_difference(worse, hard, words)
    alone = ratio_of_sums(worse, words)
    assert paired.value == 5 / 1000
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_equal_policies_differ_by_exactly_nothing() -> None:
    errors, words = np.arange(10), np.full(10, 12)
    interval = paired_difference(errors, errors, words)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_one_utterance_says_nothing_of_others() -> None:
    interval = ratio_of_sums(np.array([1]), np.array([4]))
    assert interval.value == 0.25
    assert np.isinf([interval.low, interval.high]).all()
