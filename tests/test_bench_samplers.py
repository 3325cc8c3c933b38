"""The contest of samplers: what counts as found, that nothing is judged twice, and what is left behind."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.tiny import tiny_model
from tuner.bench.contest import Ground, Memory
from tuner.bench.course import Course, Judged
from tuner.bench.samplers import main
from tuner.policy import MergeSite, Policy
from tuner.search.race import Race
from tuner.search.settings import Settings

WHOLE = 8  # utterances


def course(*trials: tuple[float, float, float, int]) -> Course:
    """Of trials by drift, cost, excess and how many utterances heard them, all of different policies."""
    model = tiny_model()
    policies = [
        Policy.for_model(model, [MergeSite(layer=0, threshold=0.5 + place / 100)]) for place in range(len(trials))
    ]
    judged = [
        Judged(policy, drift, cost, {"prefill_flops": excess}, heard, seconds=1.0)
        for policy, (drift, cost, excess, heard) in zip(policies, trials, strict=True)
    ]
    return Course("gp", True, 0, False, tuple(judged), asking=0.0)


@pytest.mark.parametrize(
    ("trials", "best", "hypervolume"),
    [
        ([(0.05, 0.5, 0.0, WHOLE)], [0.05], 0.25),
        ([(0.05, 0.5, 0.0, WHOLE), (0.02, 0.75, -0.1, WHOLE)], [0.05, 0.02], 0.25 * 0.5 + 0.25 * 0.8),
        ([(0.05, 0.5, 0.0, WHOLE), (0.06, 0.75, 0.0, WHOLE)], [0.05, 0.05], 0.25),  # the second is dominated
        ([(0.01, 0.8, 0.1, WHOLE), (0.05, 0.5, 0.0, WHOLE)], [math.inf, 0.05], 0.25),  # above the budget
        ([(0.05, 0.5, 0.0, WHOLE), (0.01, 0.5, 0.0, WHOLE - 1)], [0.05, 0.05], 0.25),  # given up
        ([(0.2, 0.5, 0.0, WHOLE)], [0.2], 0.0),  # hopeless
        ([(-0.01, 0.5, 0.0, WHOLE)], [-0.01], 0.5),  # better than the bare model is worth no more than as good
    ],
)
def test_only_whole_and_feasible_trials_count(
    trials: list[tuple[float, float, float, int]], best: list[float], hypervolume: float
) -> None:
    found = course(*trials)
    assert found.best == best
    assert found.hypervolume(len(trials)) == pytest.approx(hypervolume)
    winner = found.winner(len(trials))
    assert winner is not None
    assert winner.drift == best[-1]
    assert found.winner(0) is None


def test_a_policy_that_comes_again_costs_no_more_passes() -> None:
    found = course((0.05, 0.5, 0.0, WHOLE), (0.04, 0.5, 0.0, 3))
    again = replace(found, trials=(*found.trials, found.trials[0]))
    assert found.passes == again.passes == WHOLE + 3


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contest") / "judged.jsonl"


@pytest.fixture(scope="module")
def ground(kept: Path) -> Ground:
    settings = Settings("reference", {"prefill_flops": 0.8}, limit=4, device="cpu", runs=kept.parent, run="solved")
    return Ground(settings, Memory(kept))


def test_what_was_judged_is_not_judged_again(ground: Ground, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ground.run("tpe", 3, seed=1)
    assert all(one.cost <= 0.8 for one in first.trials if one.feasible)
    assert any(one.feasible for one in first.trials)

    monkeypatch.setattr(ground, "_memory", Memory(kept))
    monkeypatch.setattr("tuner.search.proposal.Proposals.draw", None)
    assert ground.run("tpe", 3, seed=1) == first
    assert ground.run("tpe", 2, seed=1).trials == first.trials[:2]


def test_what_a_race_gave_up_is_judged_whole_elsewhere(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Race, "is_out", lambda race, *_: bool(race._runners))
    heard = [one.heard for one in ground.run("gp", 4, seed=0, raced=True).trials]
    assert heard == sorted(heard, reverse=True)
    assert set(heard) == {4, 1}
    assert {one.heard for one in ground.run("gp", 4, seed=0).trials} == {4}


def test_the_benchmark_writes_what_every_sampler_found(tmp_path: Path) -> None:
    small = ["--limit", "4", "--held-out", "4", "--trials", "3", "--random-trials", "4", "--seeds", "1"]
    result = CliRunner().invoke(main, [*small, "--budget", "0.8", "--device", "cpu", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "samplers.json").read_text())["found"]
    kinds = [(one["solve"], one["sampler"], one["raced"], len(one["trials"])) for one in found]
    plain = [("gp", False, 3), ("tpe", False, 3), ("nsga2", False, 3), ("random", False, 4)]
    assert kinds == [*((True, *one) for one in plain), (True, "gp", True, 3), *((False, *one) for one in plain)]
    page = (tmp_path / "samplers.md").read_text()
    assert "| random solved |      4 |" in page
    assert "gp, solved, racing" in page
    assert {path.name for path in tmp_path.iterdir()} >= {"judged.jsonl", "samplers.png"}
