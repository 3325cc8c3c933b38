"""Another choice from the trials of a run: judged by other budgets, without a new search."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from tuner.errors import BudgetError, SearchError
from tuner.search import study
from tuner.search.conclude import conclude
from tuner.search.context import Context
from tuner.search.judge import Judge
from tuner.search.mirror import mirrored
from tuner.search.outcome import Outcome, TrialResult
from tuner.search.recorded import finished, record_of, recorded, result, with_front
from tuner.search.run import judge_baseline
from tuner.search.settings import Settings
from tuner.search.watch import Watcher

log = logging.getLogger(__name__)


def select(settings: Settings, run: Path, watcher: Watcher | None = None) -> Outcome:
    """Chooses from a run's recorded trials, re-validates, exports. Leaves the run's own policy and report alone.

    Args:
        settings: the run's, but for the budgets and whatever else is asked for anew (`Settings.resumed`).
        run: its folder; the policy, front, report and notes go to `select/<policy name>/` in it.
        watcher: hears of progress.

    Raises:
        BudgetError: no recorded trial keeps the budgets; says how far they went.
        TunerError: the run has no finished trial, or was made for another model, data or space.
    """
    began = time.monotonic()
    context = Context(settings, run, watcher or Watcher())
    if not (run / "study.db").is_file():
        raise _nothing_finished(run)
    identity = {name: value for name, value in context.identity().items() if name != "budgets"}
    opened = study.open_study(context.folder.study, identity, context.objective, settings.seed, settings.sampler, 1)
    trials = finished(opened)
    if not trials:
        raise _nothing_finished(run)
    if unfinished := len(trials) < settings.trials:
        log.warning("%s has %d of its %d trials: the choice is from those", run, len(trials), settings.trials)
    baseline = context.evaluate("candidates", context.baseline, context.evaluator)
    searched = context.folder.config()["budgets"]
    if settings.solve and searched != dict(settings.budgets):
        spent = ", ".join(f"{name}={value:g}" for name, value in searched.items())
        log.warning("the trials of %s were made to spend %s: a search for this budget may find better", run, spent)
    judge = context.judge(baseline, context.evaluator)
    results = recorded(context, judge, trials)
    if not any(one.feasible for one in results):
        raise _infeasible(context, judge, trials)
    results = with_front(_decoded(context, judge, results), settings.main_cost)

    context.folder = context.folder.later_choice(settings.policy_name)
    context.folder.note("environment", context.environment())
    with mirrored(context) as tracker:
        outcome, files = conclude(context, results, began, interrupted=unfinished)
        tracker.finish(outcome, files)
        return outcome


def _nothing_finished(run: Path) -> SearchError:
    return SearchError(f"{run} has no finished trial to select from; go on with it: tune --resume {run}")


def _infeasible(context: Context, judge: Judge, trials: Sequence[FrozenTrial]) -> BudgetError:
    settings, run = context.settings, context.folder.path
    bounds = [judge.costs(record_of(context.folder, trial)[1])[1] for trial in trials]
    budgets = [f"{name}={budget:g}" for name, budget in settings.budgets.items()]
    least = [f"{name}={min(bound[name] for bound in bounds):.3f}" for name in settings.budgets]
    options = [part for budget in budgets for part in ("--budget", budget)]
    command = shlex.join(["tune", "--model", settings.model, *options, "--from", str(run)])
    return BudgetError(
        f"no trial of {run} keeps {', '.join(budgets)} and the loop guard; the smallest ratios there are "
        f"{', '.join(least)} (upper 95 % bounds, which budgets are held against). Select with a higher budget, or "
        f"search for more with the data options of that run: {command}"
    )


def _decoded(context: Context, judge: Judge, results: list[TrialResult]) -> list[TrialResult]:
    """The results, with answers for those that could be finalists but were given up before they had any."""
    promising = sorted((one for one in results if one.feasible), key=lambda one: one.drift)
    silent = [one for one in promising[: context.settings.finalists] if not one.decoded]
    if not silent:
        return results
    drafted = judge_baseline(context)
    context.watcher.stage("decoding", len(silent))
    heard: dict[int, TrialResult] = {}
    for one in silent:
        evaluation = drafted.evaluate(one.policy)
        context.folder.save("candidates", one.policy, evaluation)
        heard[one.number] = result(judge, one.number, one.label, one.policy, evaluation)
        context.watcher.advance()
    return [heard.get(one.number, one) for one in results]
