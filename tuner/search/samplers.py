"""Optuna's samplers by name, told of candidates that were given up too."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

ESTIMATE = "estimate"  # a pruned trial's attribute: the values it seemed to be heading for
GP_TRIALS = 120  # beyond so many trials TPE's cheap suggestions win over GP's cubic ones
STARTUP = 12


def make_sampler(name: str, trials: int, seed: int) -> BaseSampler:
    """The sampler by name; `auto` is GP for short searches and TPE beyond."""
    if name == "auto":
        name = "gp" if trials <= GP_TRIALS else "tpe"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "gp":
            return SeesPruned(GPSampler(seed=seed, n_startup_trials=STARTUP))
        if name == "tpe":
            return SeesPruned(TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP))
        if name == "nsga2":
            return SeesPruned(NSGAIISampler(seed=seed, population_size=12))
        return RandomSampler(seed=seed)


class SeesPruned(BaseSampler):
    """Shows a sampler pruned trials as finished ones with the values in their `ESTIMATE`.

    Optuna's samplers pass over pruned trials where there are several objectives, or make little of them, and so would
    propose again and again what was given up.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(_seen(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(_seen(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(_seen(study), trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(_seen(study), trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(_seen(study), trial, state, values)


def _seen(study: optuna.Study) -> optuna.Study:
    """The study as the sampler shall see it. Samplers ask for trials by this one method."""
    view, genuine = copy.copy(study), study._get_trials

    def trials(
        deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = [_finished(trial) for trial in genuine(deepcopy, None, use_cache)]
        return [trial for trial in found if states is None or trial.state in states]

    view._get_trials = trials  # type: ignore[method-assign]
    return view


def _finished(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.PRUNED or ESTIMATE not in trial.user_attrs:
        return trial
    seen = copy.copy(trial)
    seen.state, seen.values = TrialState.COMPLETE, trial.user_attrs[ESTIMATE]
    return seen
