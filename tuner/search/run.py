"""A whole search: baseline, trials under the budget, re-validation, the chosen policy and everything written down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from tuner.errors import BudgetError
from tuner.evaluate.records import Evaluation
from tuner.report.write import write as write_report
from tuner.search import export, study
from tuner.search.context import Context
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement, Outcome
from tuner.search.settings import Settings
from tuner.search.sparing import measured_pays
from tuner.search.trials import Trials
from tuner.search.validate import validate
from tuner.search.watch import Watcher
from tuner.tracking import Tracker


def search(settings: Settings, resume: Path | None = None, watcher: Watcher | None = None) -> Outcome:
    """Searches, re-validates, exports. Ctrl-C ends the trials early and goes on with what was found.

    Args:
        settings: what to search; a resumed run must be given the model, data, space, task and budgets it began with.
        resume: the folder of a run to continue.
        watcher: hears of progress.

    Raises:
        TunerError: anything the user can put right; what was finished until then is kept.
    """
    began = time.monotonic()
    context = Context(settings, resume, watcher or Watcher())
    opened = study.open_study(
        context.folder.study, context.identity(), settings.seed, settings.sampler, settings.trials
    )
    context.folder.note("environment", context.environment())
    tracker = _open_tracker(context)
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        judge = _judge_baseline(context)
        _refuse_infeasible(context, judge)
        trials = Trials(context, judge, opened, tracker)
        trials.run(None if settings.timeout is None else began + settings.timeout)
        export.write_front(context.folder.path / "front", [one for one in trials.results if one.on_front])
        judgements, best = validate(context, trials.results)
        outcome = _outcome(context, trials, judgements, best, time.monotonic() - began)
        artifacts = write_report(outcome, context.folder.path / "report", *_for_picture(context, outcome))
        tracker.finish(outcome, [*artifacts, *([outcome.policy_file] if outcome.policy_file else [])])
        status = "KILLED" if trials.interrupted else "FINISHED"
        return outcome
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)


def _open_tracker(context: Context) -> Tracker:
    tracker = Tracker.open(
        context.settings.runs,
        experiment=f"{context.loaded.short_name}-{context.task.name}",
        run_name=context.folder.path.name,
        params=context.settings.to_plain(),
        tags={"model": context.loaded.id, "run_folder": str(context.folder.path)},
        resume_run_id=context.folder.noted("tracking").get("run_id"),
    )
    if tracker.run_id is not None:
        context.folder.note("tracking", {"run_id": tracker.run_id})
    return tracker


def _judge_baseline(context: Context) -> Judge:
    context.watcher.stage("baseline", len(context.splits.search.utterances))
    baseline = context.evaluate("candidates", context.baseline, context.evaluator, context.watcher.advance)
    return Judge(baseline, context.costing(context.evaluator), context.settings.budgets)


def _refuse_infeasible(context: Context, judge: Judge) -> None:
    """Fails before any trial when even the strongest policy of the space costs more than a budget."""
    strongest = context.policy(context.space.strongest(context.layers))
    context.watcher.stage("smallest cost", len(context.splits.search.utterances))
    _, bounds = judge.costs(context.evaluator.prefill(strongest, context.watcher.advance))
    for name, budget in context.settings.budgets.items():
        if bounds[name] > budget:
            raise BudgetError(
                f"budget {name}={budget:g} is infeasible: the smallest ratio that search space "
                f"{context.space.name!r} can reach on this speech is {bounds[name]:.3f}. Raise the budget, or use a "
                "space with lower thresholds or earlier layers"
            )


def _for_picture(context: Context, outcome: Outcome) -> tuple[Evaluation | None, Evaluation | None]:
    """The chosen policy's and the baseline's evaluations on the last split both were judged on."""
    part = "selection" if context.splits.test is None else "test"
    if outcome.chosen is None:
        return None, None
    found = [context.folder.find(part, policy.hash) for policy in (outcome.chosen, context.baseline)]
    chosen, baseline = (None if one is None else one[1] for one in found)
    return chosen, baseline


def _outcome(
    context: Context, trials: Trials, judgements: list[Judgement], best: Judgement | None, seconds: float
) -> Outcome:
    settings = context.settings
    outcome = Outcome(
        run=context.folder.path,
        model=context.loaded.id,
        task=context.task.name,
        metric=context.task.metric,
        dataset=context.splits.search.name,
        budgets=settings.budgets,
        tolerance=settings.tolerance,
        trials=tuple(trials.results),
        judgements=tuple(judgements),
        chosen=best.policy if best else None,
        policy_file=None,
        seconds=seconds,
        interrupted=trials.interrupted,
        pays=measured_pays(context),
        settings=settings.to_plain() | context.folder.noted("environment"),
    )
    return export.write_policy(outcome, settings)
