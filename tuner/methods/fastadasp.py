"""FastAdaSP's weighted merge, https://arxiv.org/abs/2410.03007: the neighbours whose keys are most alike, each member
counting by the attention it gets.

There it happens in the midst of a layer, between attention and feed-forward; here before the layer whose attention it
looks at. Attention from text is left out (`tuner.methods.keys.received`). A schedule of ratios over layers is a policy
of several sites.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfUtterance
from tuner.methods.keys import key_similarity, received
from tuner.methods.shares import highest, links


@dataclass(frozen=True)
class FastAdaSP(OfUtterance):
    """Merges over the most similar borders between neighbours until `ratio` of the utterance's tokens is left."""

    def __call__(self, seen: Seen) -> Grouping:
        """Joins tokens to those before them; chains of any length become one."""
        attention = seen.attend()
        joined = highest(key_similarity(attention), links(seen.mergeable), self._surplus(seen.mergeable))
        return Grouping(joined, weights=received(attention, seen.mergeable).sum(1))

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go: a run keeps one at least."""
        return self._surplus(mergeable).minimum(links(mergeable).sum(1))
