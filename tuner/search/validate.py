"""Re-validation on speech the search never saw: the finalists on the selection split, the choice on the test split."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tuner.evaluate.evaluator import Evaluator
from tuner.policy import Policy
from tuner.search import selection
from tuner.search.context import BASELINE, Context
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement, TrialResult
from tuner.search.sparing import spare_short_audio

log = logging.getLogger(__name__)


def validate(context: Context, trials: Sequence[TrialResult]) -> tuple[list[Judgement], Judgement | None]:
    """Judges the finalists, chooses one, and measures it once on the test split with the presets beside it.

    Returns all judgements, and the chosen one of the selection split; None when nothing keeps the budget.
    """
    cost = context.settings.main_cost
    finalists = selection.finalists(trials, cost, context.settings.finalists)
    if not finalists:
        if kept := sum(one.feasible for one in trials):
            log.warning(
                "%d trials kept the budget, all of them too far from the baseline's answers to be of use; more trials, "
                "a higher budget or another --space may find better",
                kept,
            )
        else:
            log.warning("no trial met the budget; more trials or another --space may")
        return [], None
    labelled = [(one.label or f"trial {one.number}", one.policy) for one in finalists]
    # Many finalists hear the selection split, so its audio is encoded once. What is published is measured plainly.
    evaluator = context.evaluator_for(context.splits.selection, encode_once=True)
    judge, judgements = _judge(context, "selection", evaluator, labelled)
    best = selection.choose(judgements)
    if best is None:
        if any(one.within_budget for one in judgements):
            log.warning("every finalist within the budget loops on the selection split; search with a higher budget")
        else:
            log.warning("no finalist kept the budget on the selection split; search with a slightly lower budget")
        return judgements, None
    sparing = spare_short_audio(context, judge, best)
    judgements = [sparing if one is best else one for one in judgements]
    best = sparing
    if context.splits.test is not None:
        presets = [(name, policy) for name, policy in context.presets.items() if policy.hash != best.policy.hash]
        _, tested = _judge(
            context, "test", context.evaluator_for(context.splits.test), [(best.label, best.policy), *presets]
        )
        judgements += tested
    return judgements, best


def _judge(
    context: Context, part: str, evaluator: Evaluator, policies: Sequence[tuple[str, Policy]]
) -> tuple[Judge, list[Judgement]]:
    """The part's judge; the baseline's judgement, then each policy's."""
    context.watcher.stage(f"re-judging, {part}", (len(policies) + 1) * len(evaluator.data.utterances))
    advance = context.watcher.advance
    baseline = context.evaluate(part, context.baseline, evaluator, advance)
    judge = context.judge(baseline, evaluator)
    judgements = [judge.judgement(BASELINE, context.baseline, baseline)]
    for label, policy in policies:
        judgements.append(judge.judgement(label, policy, context.evaluate(part, policy, evaluator, advance)))
    return judge, judgements
