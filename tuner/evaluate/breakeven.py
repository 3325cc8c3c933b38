"""From how much audio on merging pays: the time to the first token, with and without a policy, by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles

from tuner.costs.measure import alternate
from tuner.data.utterances import Utterance
from tuner.evaluate.firsttoken import first_token, inputs_of
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.tasks.base import Task

LENGTHS, TURNS = 8, 8


@dataclass(frozen=True)
class Pays:
    """One utterance's time to the first token under a policy, as a ratio to that without: median and quartiles."""

    audio_tokens: int
    ratio: float
    low: float
    high: float

    @property
    def slower(self) -> bool:
        """Whether merging cost time in three of four turns or more."""
        return self.low > 1


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
        low, _, high = quantiles(ratios, n=4)
        audio = int((inputs["input_ids"] == loaded.speech.audio_token_id).sum())
        found.append(Pays(audio, median(ratios), low, high))
        advance(1)
    return found


def break_even(measured: Sequence[Pays]) -> int:
    """The fewest audio tokens from which on no measured length got slower; 0 where none did."""
    return max((one.audio_tokens + 1 for one in measured if one.slower), default=0)


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """At most `count` utterances, evenly from the shortest to the longest."""
    ordered = sorted(utterances, key=lambda one: (one.seconds, one.id))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(step * (len(ordered) - 1) / (count - 1))] for step in range(count)]
