"""Samplers that are told of pruned trials: they learn from them, and the study stays what it is."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.search.objective import Objective
from tuner.search.samplers import ESTIMATE, STARTUP, SeesPruned, make_sampler
from tuner.search.study import open_study

SAMPLERS = ("gp", "tpe", "nsga2")
SEED = 1
FEW = STARTUP + 3
WORTH = 0.3  # trials further from the optimum are given up


def made(name: str) -> BaseSampler:
    """A sampler that a search uses."""
    return make_sampler(name, trials=40, seed=SEED)


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """What a policy loses, least at x = y = 0.8, and costs, flat below a floor; whoever loses much is given up."""
    x, y = (trial.suggest_float(name, 0, 1) for name in "xy")
    distance = ((x - 0.8) ** 2 + (y - 0.8) ** 2) ** 0.5
    values = distance, max(x, 0.7)
    trial.set_constraint("budget", 0.2 - y)
    if distance > WORTH:
        trial.set_user_attr(ESTIMATE, values)
        raise optuna.TrialPruned
    return values


def run(sampler: BaseSampler, trials: int = FEW) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def drawn(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


class Spy(RandomSampler):
    """Notes what it is shown."""

    seen: list[FrozenTrial]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        everything = study._get_trials(deepcopy=False, use_cache=True)
        self.seen = study._get_trials(deepcopy=False, states=(TrialState.COMPLETE,), use_cache=True)
        assert len(everything) == len(self.seen) + 1  # and the running one


def test_a_pruned_trial_is_shown_as_a_finished_one_with_its_estimate_and_constraints() -> None:
    spy = Spy(seed=0)
    study = run(SeesPruned(spy))
    pruned = [trial for trial in study.trials[:-1] if trial.state == TrialState.PRUNED]
    assert pruned
    assert [trial.number for trial in spy.seen] == list(range(FEW - 1))
    for trial in pruned:
        shown = spy.seen[trial.number]
        assert shown.values == list(trial.user_attrs[ESTIMATE])
        assert (shown.params, shown.constraints) == (trial.params, trial.constraints)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_study_stays_what_it_is(name: str) -> None:
    study = run(made(name))
    for trial in study.trials:
        pruned = ESTIMATE in trial.user_attrs
        assert (trial.state, trial.values is None) == (
            (TrialState.PRUNED, True) if pruned else (TrialState.COMPLETE, False)
        )
    assert all(trial.state == TrialState.COMPLETE for trial in study.best_trials)


@pytest.mark.slow
def test_a_gp_does_not_propose_again_what_was_given_up() -> None:
    """As one does that nobody tells: it knows nothing of the places that pruned trials were drawn from."""

    def near_the_optimum(sampler: BaseSampler) -> int:
        behind = run(sampler, STARTUP + 10).trials[STARTUP:]
        return sum(trial.state == TrialState.COMPLETE for trial in behind)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        untold = GPSampler(seed=SEED, n_startup_trials=STARTUP)
    assert near_the_optimum(made("gp")) > 2 * near_the_optimum(untold)


@pytest.mark.parametrize("name", [*SAMPLERS, "random"])
def test_a_seed_draws_the_same_again(name: str) -> None:
    assert drawn(run(made(name))) == drawn(run(made(name)))


def test_random_sampling_is_left_alone() -> None:
    assert type(made("random")) is RandomSampler
    assert drawn(run(made("random"))) == drawn(run(RandomSampler(seed=SEED)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_on_the_disk_gives_the_same(tmp_path: Path, name: str) -> None:
    """Which hands out lists for tuples, and holds the trials that it hands out."""
    both = Objective(spent=False, budget=0.7)
    opened = open_study(f"sqlite:///{tmp_path / 'study.db'}", {"model": "a"}, both, SEED, name, 40)
    opened.optimize(objective, n_trials=FEW)
    assert drawn(opened) == drawn(run(made(name)))
    assert {trial.state for trial in opened.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
