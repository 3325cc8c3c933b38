"""What samplers see of trials: usable policies near the budget in detail, the others flat."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tuner.search.drift import HOPELESS
from tuner.search.objective import KNEE, Objective
from tuner.search.settings import Settings
from tuner.search.study import open_study

BUDGET = 0.7
BOTH, DRIFT = Objective(spent=False, budget=BUDGET), Objective(spent=True, budget=BUDGET)


@pytest.mark.parametrize(
    ("drift", "cost", "both"),
    [
        (0.02, 0.9, (0.02, 0.9)),
        (0.02, 0.1, (0.02, 0.665)),  # saves more than anyone asked for
        (5.0, 0.7, (HOPELESS, 0.7)),
        (-0.01, 0.7, (-0.01, 0.7)),  # likes its own answers better than before
    ],
)
def test_values_are_flat_where_no_policy_is_wanted(drift: float, cost: float, both: tuple[float, float]) -> None:
    assert BOTH.values(drift, cost) == pytest.approx(both)
    assert DRIFT.values(drift, cost) == DRIFT.values(both[0], 0.5)


def test_where_the_budget_is_spent_halving_a_drift_counts_the_same_everywhere() -> None:
    steps = [DRIFT.values(drift, BUDGET)[0] for drift in (0.1, 0.05, 0.025)]
    first, second = (above - below for above, below in pairwise(steps))
    assert first == pytest.approx(second, rel=0.02)
    assert DRIFT.values(KNEE / 100, BUDGET)[0] == pytest.approx(0.01, rel=0.01)  # linear, and signed, near none at all
    assert DRIFT.values(-KNEE, BUDGET)[0] == -DRIFT.values(KNEE, BUDGET)[0]


@pytest.mark.parametrize("solve", [True, False])
def test_a_study_has_a_direction_for_each_value(tmp_path: Path, solve: bool) -> None:
    objective = Objective.of(Settings("reference", {"kv_cache": 0.6, "prefill_flops": BUDGET}, solve=solve))
    assert objective == Objective(spent=solve, budget=0.6)
    opened = open_study(f"sqlite:///{tmp_path / 'study.db'}", {}, objective, 0, "random", 1)
    opened.tell(opened.ask(), objective.values(0.01, 0.7))
    assert len(opened.trials[0].values) == (1 if solve else 2)
