"""How a search ends, and every later choice from its trials: front, re-validation, exported policy, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tuner.evaluate.records import Evaluation
from tuner.report.write import write as write_report
from tuner.search import export
from tuner.search.context import Context
from tuner.search.outcome import Judgement, Outcome, TrialResult
from tuner.search.sparing import measured_pays
from tuner.search.validate import validate


def conclude(
    context: Context, trials: Sequence[TrialResult], began: float, *, interrupted: bool
) -> tuple[Outcome, list[Path]]:
    """Judges the finalists on held-out speech, exports the one that is chosen and reports.

    Args:
        trials: all there are, judged by the budgets in the settings.
        began: `time.monotonic()` at the start.
        interrupted: whether fewer trials ran than were asked for.

    Returns:
        The outcome, and the files of the report and of the policy.
    """
    folder = context.folder.results
    export.write_front(folder / "front", [one for one in trials if one.on_front], context.task.metric)
    judgements, best = validate(context, trials)
    outcome = _outcome(context, trials, judgements, best, time.monotonic() - began, interrupted)
    files = write_report(outcome, folder / "report", *_for_picture(context, outcome))
    return outcome, [*files, *([outcome.policy_file] if outcome.policy_file else [])]


def _outcome(
    context: Context,
    trials: Sequence[TrialResult],
    judgements: list[Judgement],
    best: Judgement | None,
    seconds: float,
    interrupted: bool,
) -> Outcome:
    settings = context.settings
    outcome = Outcome(
        run=context.folder.results,
        model=context.loaded.id,
        task=context.task.name,
        metric=context.task.metric.name,
        dataset=context.splits.search.name,
        budgets=settings.budgets,
        tolerance=settings.tolerance,
        trials=tuple(trials),
        judgements=tuple(judgements),
        chosen=best.policy if best else None,
        policy_file=None,
        seconds=seconds,
        interrupted=interrupted,
        pays=measured_pays(context),
        settings=settings.to_plain() | context.folder.noted("environment"),
    )
    return export.write_policy(outcome, settings, run=context.folder.path.name)


def _for_picture(context: Context, outcome: Outcome) -> tuple[Evaluation | None, Evaluation | None]:
    """The chosen policy's and the baseline's evaluations on the last split both were judged on."""
    part = "selection" if context.splits.test is None else "test"
    if outcome.chosen is None:
        return None, None
    found = [context.folder.find(part, policy.hash) for policy in (outcome.chosen, context.baseline)]
    chosen, baseline = (None if one is None else one[1] for one in found)
    return chosen, baseline
