"""Affinity pooling, https://arxiv.org/abs/2604.06871."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuner.methods.base import Grouping, Seen
from tuner.runtime.affinity import joins, joins_at, similarities


@dataclass(frozen=True)
class Affinity:
    """A token joins when it is like one of the open group's last members.

    Attributes:
        threshold: cosine similarity, -1 to 1, from which on it joins.
        window: how many of the last members it is compared with.
        largest: how many members a group has at most, 0 for any number. Beyond the paper: without a bound, one group
            may swallow a whole vowel, and words with it (BENCHMARKS.md).
    """

    threshold: float
    window: int = 1
    largest: int = 0

    def __call__(self, seen: Seen) -> Grouping:
        """See `tuner.runtime.affinity.joins`."""
        return Grouping(joins(seen.hidden, seen.mergeable, self.threshold, self.window, self.largest))

    def traces(self, seen: Seen) -> Tensor:
        """[batch, tokens, window] similarities to the tokens before."""
        return similarities(seen.hidden, self.window)

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go."""
        return joins_at(traces, mergeable, self.threshold, self.largest).sum(1)
