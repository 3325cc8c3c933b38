"""Intervals: right on average, paired, defined where nothing differs, and the same as resampling one by one."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.evaluate.statistics import RESAMPLES, metric_of, paired_difference, ratio_of_sums
from tuner.tasks.metric import ACCURACY, WER, Metric, Values
from tuner.tasks.ngrams import BLEU, CHRF, count


def rates(errors: Values, words: Values) -> Values:
    """Statistics of an error rate."""
    return np.stack([errors, words, np.minimum(errors, words)], axis=-1).astype(np.float64)


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
    words = np.full(100, 10.0)
    hard = rng.binomial(10, 0.5, size=100).astype(np.float64)  # the same difficult utterances for both
    worse = hard + (np.arange(100) < 5)
    paired = paired_difference(rates(worse, words), rates(hard, words), WER)
    alone = metric_of(rates(worse, words), WER)
    assert paired.value == 5 / 1000
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_equal_policies_differ_by_exactly_nothing() -> None:
    same = rates(np.arange(10.0), np.full(10, 12.0))
    interval = paired_difference(same, same, WER)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_one_utterance_says_nothing_of_others() -> None:
    interval = ratio_of_sums(np.array([1]), np.array([4]))
    assert interval.value == 0.25
    assert np.isinf([interval.low, interval.high]).all()


def test_an_error_rate_differs_by_the_ratio_of_the_differing_errors() -> None:
    rng = np.random.default_rng(2)
    words = rng.integers(1, 20, size=50).astype(np.float64)
    errors, fewer = rng.binomial(20, 0.2, size=(2, 50)).astype(np.float64)
    assert paired_difference(rates(errors, words), rates(fewer, words), WER) == ratio_of_sums(errors - fewer, words)


SENTENCES = ["la casa roja está en la calle", "un café grande por favor", "hay tres perros en el jardín de mi tía"]


def translations(rng: np.random.Generator, wrong: float) -> Values:
    """Statistics of sentences in which words were exchanged."""
    rows = []
    for place in range(25):
        reference = SENTENCES[place % len(SENTENCES)]
        said = " ".join("no" if rng.random() < wrong else word for word in reference.split())
        rows.append(count(reference, said))
    return np.array(rows)


def answers(rng: np.random.Generator, wrong: float) -> Values:
    """Statistics of answers."""
    return np.stack([rng.random(25) >= wrong, np.ones(25)], axis=-1).astype(np.float64)


@pytest.mark.parametrize(
    ("metric", "draw"),
    [(BLEU, translations), (CHRF, translations), (ACCURACY, answers)],
    ids=["bleu", "chrf", "accuracy"],
)
def test_the_paired_bootstrap_is_resampling_one_by_one(metric: Metric, draw: object) -> None:
    rng = np.random.default_rng(3)
    worse, baseline = draw(rng, 0.4), draw(rng, 0.1)  # type: ignore[operator]
    found = paired_difference(worse, baseline, metric)

    places = np.random.default_rng(0).integers(0, 25, (RESAMPLES, 25))
    drawn = [float(metric.value(baseline[row].sum(0)) - metric.value(worse[row].sum(0))) for row in places[:RESAMPLES]]
    assert found.value == pytest.approx(float(metric.value(baseline.sum(0)) - metric.value(worse.sum(0))))
    assert found.value > 0, "what is worse has the higher loss"
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.003)
