"""The Optuna study behind a search: created, resumed after any death, and sampled without repeating itself."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import SearchError
from tuner.search.objective import Objective
from tuner.search.samplers import make_sampler
from tuner.search.space import Params

log = logging.getLogger(__name__)

NAME = "search"
HEARTBEAT, GRACE = 60, 240  # seconds; a trial may take minutes, a shorter grace would declare it dead while it lives


def open_study(
    storage_url: str, identity: Mapping[str, str], objective: Objective, seed: int, sampler: str, trials: int
) -> optuna.Study:
    """Creates or resumes the study.

    `identity` names what results may not be mixed over (model, data, space, task, budgets, objective); a study made for
    another is refused. A resumed sampler starts from another seed, or it would repeat its start-up samples.

    Raises:
        SearchError: when the study in the storage was made for something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would show a traceback for Ctrl-C
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = RDBStorage(storage_url, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    study = optuna.create_study(storage=storage, study_name=NAME, directions=objective.directions, load_if_exists=True)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", dict(identity))
    elif differing := [name for name in identity if known.get(name) != identity[name]]:
        details = "; ".join(f"{name}: it has {known.get(name)}, now {identity[name]}" for name in differing)
        raise SearchError(f"this run cannot be resumed, it was made for another {details}. Start a new run instead")
    study.sampler = make_sampler(sampler, trials, seed + len(study.trials))
    return study


def claim(trial: optuna.Trial) -> None:
    """Writes down which process works on a trial, so that a later one can tell whether it died."""
    trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")


def recover(study: optuna.Study) -> int:
    """Gives the trials of dead processes on this machine up and queues their parameters again; returns how many.

    Optuna's heartbeat does this too, but only after its grace period, and trials on other machines are left to it.
    """
    lost = [trial for trial in study.get_trials(states=(TrialState.RUNNING,)) if _is_dead(trial)]
    for trial in lost:
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs=_labels(trial), skip_if_exists=False)
        log.info("trial %d was interrupted and will be repeated", trial.number)
    return len(lost)


def enqueue_fixed(study: optuna.Study, fixed: Sequence[tuple[str, Params]]) -> None:
    """Queues the known policies, baseline and then presets, but for those that are judged or queued already."""
    labels = {trial.user_attrs.get("label") for trial in study.trials if trial.state != TrialState.FAIL}
    for label, params in fixed:
        if label not in labels:
            study.enqueue_trial(params, user_attrs={"label": label})


def _labels(trial: FrozenTrial) -> dict[str, str]:
    return {"label": trial.user_attrs["label"]} if "label" in trial.user_attrs else {}


def _is_dead(trial: FrozenTrial) -> bool:
    host, _, pid = str(trial.user_attrs.get("process", "")).rpartition(":")
    if not host:
        return False  # not claimed yet: its worker is starting, or the heartbeat will settle it
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return True  # left by an earlier search of this very process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
