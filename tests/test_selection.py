"""The front, the finalists and the choice."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from tuner.policy import MergeSite, ModelBlock, Policy
from tuner.search.context import Context
from tuner.search.outcome import Judgement, TrialResult
from tuner.search.selection import choose, finalists, front
from tuner.search.settings import Settings
from tuner.search.validate import validate

BLOCK = ModelBlock(id="m", architecture="A", layers=12, hidden_size=8, fingerprint="f-f")


def policy(*thresholds: float) -> Policy:
    sites = tuple(MergeSite(layer=layer, threshold=value) for layer, value in enumerate(thresholds))
    return Policy(name="p", model=BLOCK, sites=sites)


def trial(
    number: int,
    difference: float,
    cost: float,
    feasible: bool = True,
    repeats: int | None = None,
    drift: float = 0.0,
) -> TrialResult:
    costs = {"prefill_flops": cost}
    return TrialResult(number, policy(0.5), "", 0.0, difference, costs, feasible, False, 1.0, repeats, drift)


def judgement(bound: float, cost: float, sites: int = 1, feasible: bool = True) -> Judgement:
    return Judgement(
        label="",
        policy=policy(*[0.5] * sites),
        split="selection",
        n=100,
        quality=0.1,
        quality_ci95=(0.0, 0.2),
        beside=0.1,
        baseline=0.1,
        difference=0.0,
        ci95=(-bound, bound),
        costs={"prefill_flops": cost},
        broken=0.0,
        within_budget=feasible,
        loops=False,
    )


def test_the_front_equals_the_definition() -> None:
    rng = random.Random(0)
    for _ in range(50):
        points = [(rng.randint(0, 6) / 6, rng.randint(0, 6) / 6) for _ in range(12)]
        kept = [points[index] for index in front(points)]
        undominated = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
        assert set(kept) == undominated
        assert len(kept) == len(undominated)  # equal points count once


def test_finalists_are_the_feasible_and_distinct_trials_that_errors_and_drift_agree_on() -> None:
    trials = [
        trial(0, 0.00, 1.0, feasible=False),
        trial(1, 0.02, 0.5, drift=0.1),
        trial(2, 0.01, 0.6, drift=0.1),
        trial(3, 0.01, 0.5, drift=0.1),
        trial(4, 0.01, 0.6, repeats=2),
        trial(5, 0.00, 0.6, drift=0.9),
        trial(6, 0.03, 0.6, drift=0.8),
    ]
    assert [one.number for one in finalists(trials, "prefill_flops", 8)] == [3, 2, 1, 5, 6]
    assert [one.number for one in finalists(trials, "prefill_flops", 1)] == [3]
    assert finalists(trials[:1], "prefill_flops", 8) == []


def test_trials_that_were_not_decoded_are_never_chosen_from() -> None:
    silent = [replace(trial(number, math.nan, 0.5), decoded=False) for number in (0, 2, 4)]
    heard = [trial(1, 0.02, 0.5), trial(3, 0.01, 0.5)]
    mixed = [silent[0], heard[0], silent[1], heard[1], silent[2]]

    assert front([(one.difference, one.costs["prefill_flops"]) for one in mixed]) == [3]
    assert finalists(mixed, "prefill_flops", 8) == [heard[1], heard[0]]
    assert finalists(silent, "prefill_flops", 8) == []


@pytest.mark.parametrize(
    ("judged", "place"),
    [
        ([judgement(0.02, 0.6), judgement(0.01, 0.7)], 1),  # the lower bound wins, not the cheaper policy
        ([judgement(0.001, 0.6, feasible=False), judgement(0.05, 0.7)], 1),  # the budget comes first
        ([judgement(0.0100, 0.6, sites=3), judgement(0.0105, 0.7, sites=1)], 1),  # a tie goes to the simpler one
        ([judgement(0.0105, 0.6), judgement(0.0100, 0.7)], 1),  # then to the lower bound, not to the cheaper one
        ([judgement(0.01, 0.6, feasible=False)], None),
    ],
)
def test_the_choice(judged: list[Judgement], place: int | None) -> None:
    assert choose(judged) is (None if place is None else judged[place])


@pytest.mark.parametrize(
    ("feasible", "why"), [(True, "2 trials kept the budget, all of them too far"), (False, "no trial met")]
)
def test_it_is_said_why_there_is_no_finalist(feasible: bool, why: str, caplog: pytest.LogCaptureFixture) -> None:
    context = cast(Context, SimpleNamespace(settings=Settings("reference", {"prefill_flops": 0.7})))
    lost = [replace(trial(number, math.nan, 0.5), feasible=feasible, decoded=False) for number in (0, 1)]
    assert validate(context, lost) == ([], None)
    assert why in caplog.text
