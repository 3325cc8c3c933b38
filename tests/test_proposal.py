"""Proposals: what a trial draws, with the last threshold solved for the budget."""

from __future__ import annotations

import optuna
import pytest

from tuner.methods.known import METHODS
from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.proposal import Proposals
from tuner.search.run import prepare
from tuner.search.settings import Settings
from tuner.search.watch import Watcher

BUDGET = 0.75
TIGHT = 0.45


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory) -> Proposals:
    return _proposals("dual", tmp_path_factory)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Proposals:
    return _proposals("dual", tmp_path_factory, TIGHT)


@pytest.fixture(scope="module")
def over_methods(tmp_path_factory: pytest.TempPathFactory) -> Proposals:
    return _proposals("methods", tmp_path_factory)


def _proposals(space: str, tmp_path_factory: pytest.TempPathFactory, level: float = BUDGET) -> Proposals:
    runs = tmp_path_factory.mktemp("runs")
    budget = {"prefill_flops": level}
    settings = Settings("reference", budget, space=space, limit=6, run="x", runs=runs, device="cpu")
    return prepare(Context(settings, None, Watcher()))


def bound(proposals: Proposals, policy: Policy) -> float:
    """Upper bound of the policy's measured cost."""
    return proposals.judge.costs(proposals.context.evaluator.prefill(policy))[1]["prefill_flops"]


@pytest.mark.parametrize("layer", [3, 6])
def test_the_solved_threshold_spends_the_budget_and_no_more(proposals: Proposals, layer: int) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"threshold.0": 1.02, "window.0": 1, "layer.1": layer, "window.1": 1})
    policy = proposals.draw(study.ask()).policy
    (site,) = policy.sites
    assert bound(proposals, policy) <= BUDGET
    gentler = policy.model_copy(update={"sites": (site.model_copy(update={"threshold": site.threshold + 0.005}),)})
    assert bound(proposals, gentler) > BUDGET


def test_sites_before_the_last_merge_harder_than_drawn_where_it_alone_saves_too_little(tight: Proposals) -> None:
    deep = {"window.0": 1, "layer.1": 8, "window.1": 1}
    drawn = []
    for threshold in (1.02, 0.95, 0.6):
        study = optuna.create_study()
        study.enqueue_trial({"threshold.0": threshold, **deep})
        drawn.append(tight.draw(study.ask()).policy)
    for policy in drawn:
        assert bound(tight, policy) <= TIGHT
    first = [policy.sites[0].threshold for policy in drawn]
    assert first[0] < 1, "left out, as drawn, was not enough"
    assert first[1] < 0.95, "nor was 0.95"
    assert first[2] == 0.6, "was enough"


def test_known_policies_stay_what_they_are(proposals: Proposals) -> None:
    for policy in (proposals.context.baseline, *proposals.context.presets.values()):
        params = proposals.known_params(policy)
        assert params is not None
        study = optuna.create_study()
        study.enqueue_trial(params)
        trial = study.ask()
        assert proposals.draw(trial, policy).policy == policy
        assert trial.params == params


@pytest.mark.parametrize("method", [*METHODS])
def test_the_last_site_spends_the_budget_by_any_method(over_methods: Proposals, method: str) -> None:
    study = optuna.create_study()
    gentle = {"method.0": "affinity", "threshold.0": 1.02, "window.0": 1, "ratio.0": 1.0}
    study.enqueue_trial({**gentle, "layer.1": 3, "method.1": method, "window.1": 1})
    policy = over_methods.draw(study.ask()).policy
    (site,) = policy.sites
    assert site.method == method
    strength = over_methods.context.space.solved_by({"method.1": method}).partition(".")[0]
    gentler = site.model_copy(update={strength: site.settings[strength] + 0.005})
    assert bound(over_methods, policy.model_copy(update={"sites": (gentler,)})) > BUDGET
    assert bound(over_methods, policy) <= BUDGET
