"""A whole search: baseline, trials under the budget, re-validation, the chosen policy and everything written down."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from tuner.errors import BudgetError
from tuner.evaluate.bands import Bands
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.keep import Keep
from tuner.evaluate.predictor import Predictor
from tuner.search import study, warmstart
from tuner.search.conclude import conclude
from tuner.search.context import BASELINE, Context
from tuner.search.mirror import mirrored
from tuner.search.outcome import Outcome
from tuner.search.proposal import Proposals
from tuner.search.race import RUNGS
from tuner.search.settings import Settings
from tuner.search.trials import Trials
from tuner.search.watch import Watcher

log = logging.getLogger(__name__)


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
    # The run it starts from may have had the same seed, and its start-up samples need not be tried again.
    seed = settings.seed + len(settings.start_from)
    opened = study.open_study(
        context.folder.study, context.identity(), context.objective, seed, settings.sampler, settings.trials
    )
    context.folder.note("environment", context.environment())
    _tell_of_start(context)
    try:
        with mirrored(context) as tracker:
            proposals = prepare(context)
            _refuse_infeasible(context, proposals)
            trials = Trials(context, proposals, opened, tracker)
            trials.run(None if settings.timeout is None else began + settings.timeout)
            outcome, files = conclude(context, trials.results, began, interrupted=trials.interrupted)
            tracker.finish(outcome, files)
            return outcome
    except KeyboardInterrupt:
        log.warning("interrupted: what is finished is kept; go on with --resume %s", context.folder.path.name)
        raise


def prepare(context: Context) -> Proposals:
    """Everything that trials need to know of the baseline. The audio encoder runs once."""
    predictor = None
    if Proposals.needs_predictor(context):
        context.watcher.stage("similarities", len(context.splits.search.utterances))
        predictor = Predictor(Bands.of(context.evaluator, progress=context.watcher.advance))
    drafted = judge_baseline(context)
    judge = context.judge(drafted.baseline, context.evaluator)
    return Proposals(context, drafted, judge, predictor)


def judge_baseline(context: Context) -> Drafted:
    """What the baseline says, by `generate()` alone, as the draft of all that candidates say."""
    count = len(context.splits.search.utterances)
    context.watcher.stage("baseline", count)
    baseline = context.evaluate("candidates", context.baseline, context.evaluator, context.watcher.advance)
    context.watcher.stage("encoding", 2 * count)
    keep = Keep(context.loaded.device, limit=round(context.settings.memory * 1e9))
    drafted = Drafted(context.evaluator, context.baseline, baseline, RUNGS, keep, context.watcher.advance)
    context.folder.save("candidates", context.baseline, drafted.baseline)  # now with the nats of its answers
    return drafted


def _tell_of_start(context: Context) -> None:
    """Why its space is narrower, which policies it starts from, and which of them are strangers to the space."""
    for reason in context.narrowed.evidence:
        context.watcher.say(reason)
    started = {label: one for label, one in context.known.items() if label not in (BASELINE, *context.presets)}
    if started:
        context.watcher.say(f"judged first: {', '.join(started)}")
    if labels := warmstart.outside(context.space, context.layers, started):
        log.warning(
            "search space %r does not hold %s: judged all the same, but the sampler does not learn from it",
            context.space.name,
            ", ".join(labels),
        )


def _refuse_infeasible(context: Context, proposals: Proposals) -> None:
    """Fails before any trial when even the strongest policy of the space costs more than a budget."""
    strongest = [context.policy(context.space.strongest(context.layers, method)) for method in context.space.methods]
    reached = [proposals.judge.costs(proposals.drafted.look(policy).evaluation)[1] for policy in strongest]
    bounds = {name: min(one[name] for one in reached) for name in reached[0]}
    for name, budget in context.settings.budgets.items():
        if bounds[name] > budget:
            raise BudgetError(
                f"budget {name}={budget:g} is infeasible: the smallest ratio that search space "
                f"{context.space.name!r} can reach on this speech is {bounds[name]:.3f} (its upper 95 % "
                "bound). Raise the budget, or use a space with lower thresholds or earlier layers"
            )
