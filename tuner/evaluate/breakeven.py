"""From how much audio on merging pays: the time to the first token, with and without a policy, by length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from scipy.stats import theilslopes

from tuner.costs.measure import alternate
from tuner.data.utterances import Utterance
from tuner.evaluate.firsttoken import first_token, inputs_of
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.tasks.base import Task

LENGTHS, TURNS = 8, 8


@dataclass(frozen=True)
class Pays:
    """What a policy did to one utterance's time to the first token, turn by turn: medians.

    `ratio` is that time over the time without the policy, `saved` how many seconds less it is.
    """

    audio_tokens: int
    ratio: float
    saved: float


def pays(
    loaded: LoadedModel, policy: Policy, task: Task, utterances: Sequence[Utterance], advance: Callable[[int], None]
) -> list[Pays]:
    """Measures utterances spread over the lengths there are, the shortest first, taking turns.

    Args:
        policy: merges all of them (its `min_audio_tokens` is left out of it).
        advance: is told of each utterance that is done.
    """
    found = []
    merging = policy.model_copy(update={"min_audio_tokens": 0})
    bare = policy.model_copy(update={"sites": ()})
    for utterance in spread(utterances, LENGTHS):
        inputs = inputs_of(loaded, utterance, task)

        without, merged = alternate(
            [partial(first_token, loaded, side, inputs) for side in (bare, merging)], repeats=TURNS
        )
        ratios = [one / other for one, other in zip(merged, without, strict=True)]
        saved = [other - one for one, other in zip(merged, without, strict=True)]
        audio = int((inputs["input_ids"] == loaded.speech.audio_token_id).sum())
        found.append(Pays(audio, median(ratios), median(saved)))
        advance(1)
    return found


def break_even(measured: Sequence[Pays]) -> int:
    """The fewest audio tokens from which on merging saves time; one more than were measured where it never does.

    Merging costs about the same at every length and saves by the token, so a line through all lengths says it better
    than any one of them, whose times are noisy. The line is Theil and Sen's, which outliers do not bend. Nothing is
    claimed against what was measured, though: the shortest lengths that all got slower are below it.
    """
    tokens, saved = [one.audio_tokens for one in measured], [one.saved for one in measured]
    beyond = max(tokens) + 1
    if len(set(tokens)) == 1:
        return 0 if median(saved) >= 0 else beyond
    slope, intercept = map(float, theilslopes(saved, tokens, method="joint")[:2])
    if slope <= 0:
        return 0 if median(saved) >= 0 else beyond
    slower = list(itertools.takewhile(lambda one: one.saved < 0, sorted(measured, key=lambda one: one.audio_tokens)))
    seen = slower[-1].audio_tokens + 1 if slower else 0
    return min(max(seen, math.ceil(-intercept / slope)), beyond)


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """At most `count` utterances, evenly from the shortest to the longest."""
    ordered = sorted(utterances, key=lambda one: (one.seconds, one.id))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(step * (len(ordered) - 1) / (count - 1))] for step in range(count)]
