"""Racing: a candidate is given up only when as many as get into the final are surely better and no dearer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.search.drift import HOPELESS
from tuner.search.race import SLACK, Race, is_hopeless

RANDOM = np.random.default_rng(0)
HARDNESS = RANDOM.uniform(0, 50, 20)  # nats of each utterance under any policy: far more than policies differ by
NOISE = RANDOM.normal(0, 0.1, 20)


def heard(nats: Sequence[float | None], first: int = 0) -> Evaluation:
    """An evaluation of the utterances from number `first` on."""
    records = tuple(
        UtteranceRecord(str(first + place), 1.0, "", (0, 0, 0), (1,), (1,), 1, False, nats=one)
        for place, one in enumerate(nats)
    )
    return Evaluation("policy", "search", records, 0.0, decoded=False)


def off_by(nats: float) -> Evaluation:
    """A policy that costs each utterance about so many nats more than the best, with luck of its own."""
    return heard((HARDNESS + nats + np.roll(NOISE, round(101 * nats))).tolist())


def race(*finished: tuple[float, float], places: int = 2) -> Race:
    """A race in which those have come in: nats above the best's, and cost."""
    made = Race(places)
    for nats, cost in finished:
        made.finished(off_by(nats), cost)
    return made


@pytest.mark.parametrize(
    ("finished", "out"),
    [
        ([], False),
        ([(0.0, 0.6)], False),  # the second place is free
        ([(0.0, 0.6), (0.1, 0.6)], True),
        ([(0.0, 0.6), (0.1, 0.6), (2.0, 0.6)], True),
        ([(0.0, 0.6), (2.0, 0.6)], False),  # only one is better
        ([(0.0, 0.6), (1.0, 0.6)], False),  # the other one is as good
        ([(0.0, 0.6), (0.98, 0.6)], False),  # the other one may be better by luck
        ([(0.0, 0.6), (0.1, 0.8)], False),  # the other one is dearer
        ([(0.0, 0.6), (0.1, 0.7 + 0.9 * SLACK)], True),  # dearer by the step of a threshold
    ],
)
def test_it_takes_as_many_better_ones_as_there_are_places(finished: list[tuple[float, float]], out: bool) -> None:
    assert race(*finished).is_out(off_by(1.0), 0.7) is out


@pytest.mark.parametrize("nats", [-1.0, 0.0])
def test_who_is_as_good_as_the_best_stays(nats: float) -> None:
    assert not race((0.0, 0.5), (0.0, 0.5), (0.3, 0.5)).is_out(off_by(nats), 0.7)


@pytest.mark.parametrize("first", [0, 15])
def test_the_same_utterances_are_compared(first: int) -> None:
    """What was heard is all easy, or all hard; only beside the same utterances does it mean anything."""
    ordered = np.sort(HARDNESS)
    here = Race(1)
    here.finished(heard(ordered.tolist()), 0.7)
    few = ordered[first : first + 5]
    assert here.is_out(heard((few + 0.5 + 0.1 * NOISE[:5]).tolist(), first), 0.7)
    assert not here.is_out(heard((few - 0.5 + 0.1 * NOISE[:5]).tolist(), first), 0.7)


@pytest.mark.parametrize(
    ("own", "rivals", "out"),
    [
        ([3.0], [1.0], False),
        ([3.0, 3.1], [1.0, 1.0], False),
        ([3.0, 3.001], [1.0, 1.0], True),
        ([3.0, 3.0, 3.0], [1.0, 1.0, 1.0], True),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], False),
        ([1.0, 1.0, 1.0], [3.0, 3.0, 3.0], False),
        ([math.inf, 3.0, 3.1], [1.0, 1.0, 1.0], False),
        ([math.inf, 3.0, 3.1], [math.inf, 1.0, 1.0], False),
        ([None, 3.0, 3.1], [1.0, 1.0, 1.0], False),
        ([3.0, 3.0, 3.1], [None, None, None], False),
    ],
)
def test_too_little_to_go_by_is_no_reason(own: list[float | None], rivals: list[float | None], out: bool) -> None:
    made = Race(1)
    made.finished(heard(rivals), 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made.is_out(heard(own), 0.7) is out


@pytest.mark.parametrize(
    ("nats_a_word", "hopeless"),
    [(-1.0, False), (0.0, False), (0.9 * HOPELESS, False), (1.01 * HOPELESS, False), (2 * HOPELESS, True), (3.0, True)],
)
def test_a_candidate_that_surely_drifts_too_far_is_hopeless(nats_a_word: float, hopeless: bool) -> None:
    words = 10
    bare = heard(HARDNESS.tolist())
    bare = replace(bare, records=tuple(replace(one, statistics=(0, words, 0)) for one in bare.records))
    partial = heard((HARDNESS + nats_a_word * words + NOISE)[:6].tolist())
    assert is_hopeless(partial, bare) is hopeless
    assert (
        is_hopeless(heard((HARDNESS + nats_a_word * words)[:1].tolist()), bare) is False
    )  # one says nothing of others
