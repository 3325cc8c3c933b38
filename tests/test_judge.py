"""Budgets and the loop guard: what one evaluation is worth next to the baseline's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.test_selection import policy
from tuner.evaluate.costing import COSTS, Costing, PerUtterance
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.search.judge import LOOPS, Judge, Matched

N, BUDGET = 200, 0.8


class TokensCost(Costing):
    """Every cost is the tokens of the first layer."""

    def __init__(self) -> None:
        pass

    def count(self, evaluation: Evaluation) -> PerUtterance:
        return {name: np.array([record.tokens[0] for record in evaluation.records], float) for name in COSTS}


def evaluation(tokens: int, broken: int = 0, decoded: bool = True, heard: int = N) -> Evaluation:
    """So many outputs cut off, each with thrice as many errors as words; of every fourth utterance where not all."""
    records = [
        UtteranceRecord(
            str(i),
            1.0,
            "so" if decoded else "",
            (30, 10, 10) if i < broken else (0, 10, 0),
            (tokens + i,),
            (0,),
            1,
            i < broken,
        )
        for i in range(N)
    ]
    return Evaluation("x", "test", tuple(records[:: N // heard]), 1.0, decoded)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Of a baseline that loops five times in 200."""
    return Judge(evaluation(1000, broken=5), TokensCost(), {"kv_cache": BUDGET})


@pytest.mark.parametrize(
    ("candidate", "feasible", "kept"),
    [
        (evaluation(700), True, {"kv_cache", "broken"}),
        (evaluation(700, broken=6), True, {"kv_cache", "broken"}),
        (evaluation(700, broken=7), False, {"kv_cache"}),
        (evaluation(900), False, {"broken"}),
        (evaluation(900, broken=20), False, set()),
        (evaluation(700, decoded=False), True, {"kv_cache", "broken"}),
        (evaluation(700, decoded=False, heard=50), True, {"kv_cache", "broken"}),
        (evaluation(900, decoded=False, heard=50), False, {"broken"}),
    ],
    ids=[
        "fewer loops",
        "half a point more",
        "a point more",
        "over budget",
        "over budget and looping",
        "unheard",
        "heard in part",
        "heard in part and over budget",
    ],
)
def test_feasible_is_what_exceeds_no_constraint(
    judge: Judge, candidate: Evaluation, feasible: bool, kept: set[str]
) -> None:
    constraints = judge.constraints(candidate)

    assert set(constraints) == {"kv_cache", "broken"}  # samplers want the same of every trial
    assert {name for name, excess in constraints.items() if excess <= 0} == kept
    assert judge.verdict(candidate).feasible is feasible


def test_constraints_count_in_comparable_units(judge: Judge) -> None:
    constraints = judge.constraints(evaluation(1000, broken=25))

    assert constraints["kv_cache"] == pytest.approx(1 / BUDGET - 1)
    assert constraints["broken"] == pytest.approx((25 - 5) / N - LOOPS)


def test_costs_of_a_part_are_held_against_the_same_part(judge: Judge) -> None:
    costs, bounds = judge.costs(evaluation(1000, decoded=False, heard=20))

    assert costs["kv_cache"] == bounds["kv_cache"] == 1


def test_what_is_compared_at_the_same_cost_is_held_to_the_ratio_and_not_to_its_bound(judge: Judge) -> None:
    candidate = evaluation(879, decoded=False)  # 80 % and something of what the baseline costs, less on short audio
    matched = Matched(judge.baseline, TokensCost(), judge.budgets)

    ratios, bounds = judge.costs(candidate)
    assert bounds["kv_cache"] > ratios["kv_cache"]
    assert matched.costs(candidate) == (ratios, {"kv_cache": ratios["kv_cache"]})


def test_without_answers_nothing_is_known_of_them(judge: Judge) -> None:
    verdict = judge.verdict(evaluation(700, decoded=False))

    assert math.isnan(verdict.difference.value)
    assert math.isnan(verdict.broken)


@pytest.mark.parametrize(
    ("tokens", "broken", "within", "loops"), [(700, 6, True, False), (700, 9, True, True), (900, 6, False, False)]
)
def test_on_held_out_speech_it_is_told_which_of_them_failed(
    judge: Judge, tokens: int, broken: int, within: bool, loops: bool
) -> None:
    judged = judge.judgement("one", policy(0.5), evaluation(tokens, broken))

    assert (judged.within_budget, judged.loops) == (within, loops)
    assert judged.feasible is (within and not loops)
    assert judged.quality == pytest.approx(3 * broken / N)
    assert judged.beside == pytest.approx(broken / N)
