"""Group maps: which tokens of one utterance affinity pooling would put together, at every depth of the bare model."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.evaluate.bands import Bands
from tuner.evaluate.breakeven import spread
from tuner.probe.stretches import Stretch, stretches
from tuner.runtime.affinity import joins_at

COUNT = 3  # utterances: a short one, one of middling length, a long one


@dataclass(frozen=True)
class GroupMap:
    """One utterance over time and depth.

    Attributes:
        id: the utterance's.
        seconds: how long it is.
        threshold: that of every layer; the window is 1.
        words: its words and pauses.
        groups: for each layer the number of the group that each audio token is in, ascending.
    """

    id: str
    seconds: float
    threshold: float
    words: tuple[Stretch, ...]
    groups: tuple[tuple[int, ...], ...]


def group_maps(bands: Bands, threshold: float) -> tuple[GroupMap, ...]:
    """Those of a few utterances from the shortest to the longest, at the same threshold in every layer."""
    rows = {one.id: row for row, one in enumerate(bands.utterances)}
    found = []
    for one in spread(bands.utterances, COUNT):
        row = slice(rows[one.id], rows[one.id] + 1)
        audio = bands.tokens.mergeable[row]
        joined = [joins_at(band.cosines[row, :, :1], audio, threshold)[audio] for band in bands.by_layer.values()]
        groups = tuple(tuple(((~joins).cumsum(0) - 1).tolist()) for joins in joined)
        found.append(GroupMap(one.id, one.seconds, threshold, stretches(one, int(audio.sum())), groups))
    return tuple(found)
