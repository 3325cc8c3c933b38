"""What a run remembers of its candidates, as results under the budgets that are asked for now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import SearchError
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search import selection
from tuner.search.context import Context
from tuner.search.drift import drift
from tuner.search.judge import Judge
from tuner.search.outcome import TrialResult
from tuner.search.runfolder import RunFolder

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)  # judged to the end, or given up on the way


def finished(opened: optuna.Study) -> list[FrozenTrial]:
    """The trials that judged a policy."""
    return opened.get_trials(states=FINISHED)


def recorded(context: Context, judge: Judge, trials: Sequence[FrozenTrial]) -> list[TrialResult]:
    """Every policy that was judged, once: those of `trials`, then the known ones that the space does not hold, whose
    numbers are below zero.

    Raises:
        SearchError: the record of a trial is missing.
    """
    found: dict[str, TrialResult] = {}
    context.watcher.stage("recorded trials", len(trials))
    for trial in trials:
        policy, evaluation = record_of(context.folder, trial)
        if policy.hash not in found:
            label = trial.user_attrs.get("label", "")
            found[policy.hash] = result(judge, trial.number, label, _renamed(policy, context), evaluation)
        context.watcher.advance()
    beside = [(label, policy) for label, policy in context.known.items() if policy.hash not in found]
    for place, (label, policy) in enumerate(beside):
        kept = context.folder.find("candidates", policy.hash)
        if kept is not None:
            found[policy.hash] = result(judge, -1 - place, label, policy, kept[1])
    return list(found.values())


def record_of(folder: RunFolder, trial: FrozenTrial) -> tuple[Policy, Evaluation]:
    """The policy that a trial judged, and what was found."""
    kept = folder.find("candidates", trial.user_attrs["policy"])
    if kept is None:
        raise SearchError(
            f"{folder.path}: the record of trial {trial.number} is gone from candidates/; restore it or start a new run"
        )
    return kept


def result(judge: Judge, number: int, label: str, policy: Policy, evaluation: Evaluation) -> TrialResult:
    """One candidate, not yet compared with others. The judge's baseline must have the nats of its own answers."""
    verdict = judge.verdict(evaluation)
    return TrialResult(
        number=number,
        policy=policy,
        label=label,
        quality=evaluation.quality,
        difference=verdict.difference.value,
        costs=verdict.costs,
        feasible=verdict.feasible,
        on_front=False,
        seconds=evaluation.wall_seconds,
        drift=drift(evaluation, judge.baseline),
        decoded=evaluation.decoded,
        beside=evaluation.beside,
        broken=evaluation.broken if evaluation.decoded else math.nan,
        ties=evaluation.ties,
    )


def with_front(results: Sequence[TrialResult], cost: str) -> list[TrialResult]:
    """The results with the front of the feasible ones marked."""
    candidates = [one for one in results if one.feasible and one.repeats is None]
    places = selection.front([(one.difference, one.costs[cost]) for one in candidates])
    numbers = {candidates[place].number for place in places}
    return [replace(one, on_front=one.number in numbers) for one in results]


def _renamed(policy: Policy, context: Context) -> Policy:
    """By the budgets that it is judged by now."""
    return policy.model_copy(update={"name": context.settings.policy_name})
