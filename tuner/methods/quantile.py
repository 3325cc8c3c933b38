"""Affinity pooling to a ratio: every utterance gets the threshold that leaves it the share of tokens asked for.

A threshold lets costs vary with what is said; this bounds them for each utterance, as serving to a deadline needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from tuner.methods.base import Grouping, Seen
from tuner.methods.shares import Runs, share
from tuner.runtime.affinity import joins_at, similarities

_NEVER = 2.0  # no similarity is as high


@dataclass(frozen=True)
class Quantile:
    """The highest threshold at which no more than `ratio` of the utterance's tokens are left, as far as groups may go
    (a run keeps one).

    Attributes:
        ratio: the share that is kept.
        window, largest: as in affinity pooling.
    """

    ratio: float
    window: int = 1
    largest: int = 0

    def __call__(self, seen: Seen) -> Grouping:
        """Affinity pooling at the utterance's own threshold."""
        return Grouping(self._joined(self.traces(seen), seen.mergeable))

    def traces(self, seen: Seen) -> Tensor:
        """[batch, tokens, window] similarities to the tokens before."""
        return similarities(seen.hidden, self.window)

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go."""
        return self._joined(traces, mergeable).sum(1)

    def _joined(self, similar: Tensor, mergeable: Tensor) -> Tensor:
        """Tries thresholds among the similarities themselves, halving what is left of them; no host sync."""
        free = mergeable.sum(1, keepdim=True)
        surplus = free - share(free, self.ratio)
        distance = torch.arange(1, self.window + 1, device=similar.device)
        comparable = Runs.of(mergeable).place[..., None] >= distance
        values = similar.masked_fill(~comparable, _NEVER).flatten(1).sort(dim=1).values
        values = pad(values, (0, 1), value=_NEVER)
        low = torch.zeros_like(free)  # merges enough, or as much as can be
        high = comparable.sum((1, 2))[:, None]
        for _ in range(values.shape[1].bit_length()):
            middle = (low + high + 1) // 2
            joined = joins_at(similar, mergeable, values.gather(1, middle), self.largest)
            enough = joined.sum(1, keepdim=True) >= surplus
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle - 1)
        return joins_at(similar, mergeable, values.gather(1, low), self.largest)
