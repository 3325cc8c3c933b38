"""The files a search is for: the chosen policy with what was measured of it, and the front."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.errors import PolicyError
from tuner.policy import Policy
from tuner.search.outcome import Judgement, Outcome, TrialResult
from tuner.search.settings import Settings
from tuner.tasks.metric import Metric, named
from tuner.tracking import mask

log = logging.getLogger(__name__)


def write_policy(outcome: Outcome, settings: Settings, run: str) -> Outcome:
    """Writes the chosen policy, if there is one, to the policies and beside the report; returns where it went too.

    A policy of that name that another run measured on more utterances stays where it is: what few utterances found
    shall not take the place, and the name, of what many did.

    `run` is the name of the run whose trial it is.
    """
    if outcome.chosen is None:
        return outcome
    judged = {one.split: one for one in outcome.judgements if one.policy.hash == outcome.chosen.hash}
    baselines = {one.split: one for one in outcome.judgements if one.policy.is_identity}
    trial = next(one for one in outcome.trials if one.led_to(outcome.chosen))
    policy = outcome.chosen.model_copy(
        update={
            "measured": {
                "dataset": outcome.dataset,
                "metric": outcome.metric,
                "device": outcome.settings.get("device", ""),
                "dtype": outcome.settings.get("dtype", ""),
                **({"pays": outcome.pays} if outcome.pays else {}),
                "splits": [_measured(one, baselines[split], named(outcome.metric)) for split, one in judged.items()],
            },
            "made_by": {
                "command": mask(settings.command),
                "date": time.strftime("%Y-%m-%d"),
                "run": run,
                "trial": trial.number,
                "seed": settings.seed,
                **{
                    name: outcome.settings[name]
                    for name in ("torch", "transformers", "optuna")
                    if name in outcome.settings
                },
            },
        }
    )
    path, own = settings.policies / f"{settings.policy_name}.yaml", outcome.run / "policy.yaml"
    policy.save(own)
    if not _takes_the_place(policy, path, run):
        return replace(outcome, chosen=policy, policy_file=own)
    path.parent.mkdir(parents=True, exist_ok=True)
    policy.save(path)
    return replace(outcome, chosen=policy, policy_file=path)


def write_front(folder: Path, trials: Sequence[TrialResult], metric: Metric) -> None:
    """One policy file for each trial on the front, cheapest last in quality order; earlier ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    for trial in trials:
        measured = {"split": "search", "difference": round(metric.change(trial.difference), 5), **_rounded(trial.costs)}
        policy = trial.policy.model_copy(update={"measured": measured, "made_by": {"trial": trial.number}})
        policy.save(folder / f"trial-{trial.number:03}.yaml")


def _takes_the_place(policy: Policy, path: Path, run: str) -> bool:
    """Whether a policy may be written where perhaps there is one; says what becomes of another run's."""
    try:
        old = Policy.load(path)
    except PolicyError:
        return True  # nothing is there, or nothing of use
    other, before, now = old.made_by.get("run", "elsewhere"), _utterances(old), _utterances(policy)
    if other == run:
        return True
    if now < before:
        log.warning("%s came from %s and %d utterances; with %d it is not replaced", path, other, before, now)
        return False
    log.warning("%s came from %s and is replaced; each run keeps its own policy.yaml", path, other)
    return True


def _utterances(policy: Policy) -> int:
    """How many the policy was last measured on."""
    splits = policy.measured.get("splits") or [{}]
    return int(splits[-1].get("n", 0))


def _measured(judgement: Judgement, baseline: Judgement, metric: Metric) -> dict[str, Any]:
    """The metric itself, in its own direction."""
    beside = {"baseline": baseline, "policy": judgement} if metric.beside else {}
    tasks = {
        part.task: {"metric": part.metric, **_measured(part, bare, named(part.metric))}
        for part, bare in zip(judgement.parts, baseline.parts, strict=True)
    }
    return {
        "split": judgement.split,
        "n": judgement.n,
        "baseline": round(baseline.quality, 5),
        "policy": round(judgement.quality, 5),
        "difference": round(metric.change(judgement.difference), 5),
        "ci95": [round(bound, 5) for bound in metric.change_of(judgement.ci95)],
        **{f"{side}_{metric.beside}": round(one.beside, 5) for side, one in beside.items()},
        "broken_outputs": round(judgement.broken, 5),
        **_rounded(judgement.costs),
        **({"tasks": tasks} if tasks else {}),
    }


def _rounded(costs: Any) -> dict[str, float]:
    return {name: round(value, 4) for name, value in costs.items()}
