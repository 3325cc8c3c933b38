"""Short audio that merging would slow down is left alone: the policy's `min_audio_tokens`, from measured times."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace

from tuner.evaluate.breakeven import LENGTHS, Pays, break_even, pays
from tuner.evaluate.records import Evaluation
from tuner.search.context import Context
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement

log = logging.getLogger(__name__)

PART, NOTE = "selection", "break_even"


def spare_short_audio(context: Context, judge: Judge, best: Judgement) -> Judgement:
    """The same policy with the audio left alone that it slows down, as far as the budgets allow.

    An utterance left alone gives what the baseline gave, so what this does to quality and costs is known without
    another run: its record is the baseline's. Nothing is measured where the settings or the space say how short.
    """
    if best.policy.is_identity or best.policy.min_audio_tokens or context.settings.min_audio_tokens is not None:
        return best
    found = context.folder.find(PART, best.policy.hash)
    if found is None:
        return best
    wanted = break_even(_measured(context, best))
    lengths = {record.audio_tokens[0] + 1 for record in judge.baseline.records}
    for fewest in sorted({wanted, *(length for length in lengths if length < wanted)}, reverse=True):
        policy = best.policy.model_copy(update={"min_audio_tokens": fewest})
        evaluation = replace(_without_short(found[1], judge.baseline, fewest), policy=policy.hash)
        bounds = judge.costs(evaluation)[1]
        if fewest == 0 or all(bounds[name] <= budget for name, budget in judge.budgets.items()):
            break
    if fewest < wanted:
        log.warning(
            "on audio of fewer than %d tokens merging saves no time on this device, but the budget cannot be kept "
            "without it: only audio of fewer than %d is left alone. A higher --budget leaves more of it, and "
            "--min-audio-tokens says outright how much",
            wanted,
            fewest,
        )
    if fewest == 0:
        return best
    context.folder.save(PART, policy, evaluation)
    return judge.judgement(best.label, policy, evaluation)


def measured_pays(context: Context) -> dict[int, float]:
    """By audio tokens, the measured time to the first token as a ratio to the baseline's; empty if none was taken."""
    return {int(row["audio_tokens"]): round(row["ratio"], 3) for row in context.folder.noted(NOTE).get("measured", ())}


def _measured(context: Context, best: Judgement) -> list[Pays]:
    noted = context.folder.noted(NOTE)
    if noted.get("policy") == best.policy.hash:
        return [Pays(**row) for row in noted["measured"]]
    utterances = context.splits.search.utterances
    context.watcher.stage("break-even", min(LENGTHS, len(utterances)))
    measured = pays(context.loaded, best.policy, context.task, utterances, context.watcher.advance)
    context.folder.note(NOTE, {"policy": best.policy.hash, "measured": [asdict(one) for one in measured]})
    return measured


def _without_short(evaluation: Evaluation, baseline: Evaluation, fewest: int) -> Evaluation:
    """The evaluation with the baseline's records of all audio shorter than that."""
    records = tuple(
        bare if bare.audio_tokens[0] < fewest else record
        for record, bare in zip(evaluation.records, baseline.records, strict=True)
    )
    return replace(evaluation, records=records)
