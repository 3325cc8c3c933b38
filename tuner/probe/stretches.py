"""Which audio tokens belong to which word: the stretches of an utterance within which an oracle spares tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tuner.data.utterances import Utterance
from tuner.data.words import Word

WINDOW = 0.3  # seconds, about a word's length, where nobody knows the words


@dataclass(frozen=True)
class Stretch:
    """Audio tokens `start` up to but without `end`; `word` is what is said there, None in a pause or a mere window."""

    start: int
    end: int
    word: str | None = None


def stretches(utterance: Utterance, tokens: int) -> tuple[Stretch, ...]:
    """Divides an utterance's audio tokens, which are spread evenly over its audio, into words and the pauses between
    them; into windows of 0.3 s where it has no alignment. Words too short for a token have none."""
    if utterance.words is None:
        count = max(1, round(utterance.seconds / WINDOW))
        borders = [round(number * tokens / count) for number in range(count + 1)]
        found = [Stretch(start, end) for start, end in pairwise(borders)]
    else:
        found = list(_words_and_pauses(utterance.words, tokens / utterance.seconds, tokens))
    return tuple(one for one in found if one.start < one.end)


def _words_and_pauses(words: Sequence[Word], rate: float, tokens: int) -> Iterator[Stretch]:
    """A token belongs to the word that its middle lies in."""
    reached = 0
    for word in words:
        start, end = (min(round(time * rate), tokens) for time in (word.start, word.end))
        yield Stretch(reached, start)
        yield Stretch(start, end, word.text)
        reached = end
    yield Stretch(reached, tokens)
