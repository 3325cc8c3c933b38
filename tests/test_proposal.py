"""Proposals: what a trial draws, with the last threshold solved for the budget."""

from __future__ import annotations

import optuna
import pytest

from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.proposal import Proposals
from tuner.search.run import prepare
from tuner.search.settings import Settings
from tuner.search.watch import Watcher

BUDGET = 0.75


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory) -> Proposals:
    runs = tmp_path_factory.mktemp("runs")
    budget = {"prefill_flops": BUDGET}
    settings = Settings("reference", budget, space="dual", limit=6, run="x", runs=runs, device="cpu")
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


def test_known_policies_stay_what_they_are(proposals: Proposals) -> None:
    for policy in (proposals.context.baseline, *proposals.context.presets.values()):
        params = proposals.known_params(policy)
        assert params is not None
        study = optuna.create_study()
        study.enqueue_trial(params)
        trial = study.ask()
        assert proposals.draw(trial, policy).policy == policy
        assert trial.params == params
