"""Methods that keep a given share of an utterance's tokens, whatever they hold."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuner.methods.base import Seen
from tuner.methods.shares import same_cell, share


@dataclass(frozen=True)
class OfUtterance:
    """Keeps `ratio` of each utterance's mergeable tokens."""

    ratio: float

    def traces(self, seen: Seen) -> Tensor:
        """Nothing: how many tokens go does not depend on what they hold."""
        return seen.hidden[..., :0]

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go."""
        return self._surplus(mergeable)

    def _surplus(self, mergeable: Tensor) -> Tensor:
        free = mergeable.sum(1)
        return free - share(free, self.ratio)


@dataclass(frozen=True)
class OfRuns(OfUtterance):
    """Keeps `ratio` of each run of mergeable tokens, so of each recording where a prompt holds several."""

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go."""
        return same_cell(mergeable, self.ratio).sum(1)
