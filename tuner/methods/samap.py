"""SA-MAP, https://www.preprints.org/manuscript/202606.0741/v1: merges what is alike on average, then keeps a diverse
choice of the groups.

There it is applied once, between encoder and decoder, with the encoder's last attention; here at any layer, with that
layer's, asked by the audio alone. Where merging leaves fewer groups than the ratio keeps, all of them stay; SA-MAP's
published code then repeats some. Groups are found without a loop over tokens, but the choice is greedy: one step for
each group that stays, without a host sync.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from tuner.methods.base import Grouping, Seen
from tuner.methods.keys import received
from tuner.methods.shares import links, share
from tuner.runtime.affinity import Groups

_LEAST = 1e-12  # what is divided by
_APART = 1e-3  # so much even equal groups differ: more groups than dimensions may stay, and rounding must not choose


@dataclass(frozen=True)
class SaMap:
    """Merges, weighted by attention, then selects.

    Attributes:
        ratio: the share of an utterance's tokens that is kept at most.
        threshold: mean cosine similarity, -1 to 1, to all of the open group from which on a token joins it.
    """

    ratio: float
    threshold: float = 0.85

    def __call__(self, seen: Seen) -> Grouping:
        """Drops the groups that are not selected."""
        free = seen.mergeable
        joined = joins_by_mean(seen.hidden, free, self.threshold)
        importance = received(seen.attend(), free).amax(1)
        groups = Groups.form(joined, seen.real)
        audio = free.gather(1, groups.last) & groups.real
        relevance = groups.totals(importance[..., None])[..., 0] / groups.sizes
        selected = diverse(groups.pool(seen.hidden, importance), relevance, audio, share(free.sum(1), self.ratio))
        stays = selected.gather(1, groups.entry())
        return Grouping(joined, kept=stays | ~free, weights=importance)

    def traces(self, seen: Seen) -> Tensor:
        """[batch, tokens, 1] which tokens join, whatever the ratio."""
        return joins_by_mean(seen.hidden, seen.mergeable, self.threshold)[..., None]

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go, merged or dropped."""
        free = mergeable.sum(1)
        return (free - share(free, self.ratio)).maximum(traces[..., 0].sum(1))


def joins_by_mean(hidden: Tensor, mergeable: Tensor, threshold: float) -> Tensor:
    """[batch, tokens] bool: which tokens join the open group, from left to right, for being like all its members on
    average.

    Where a group ends depends only on where it begins: that is worked out for every token, and the groups that really
    open are those that are reached from the first by going from end to end, in doubling strides.
    """
    unit = normalize(hidden.float(), dim=-1) * mergeable[..., None]
    tokens = unit.shape[1]
    index = torch.arange(tokens, device=unit.device)
    sums = pad((unit @ unit.transpose(1, 2)).cumsum(2), (1, 0))[..., :-1]  # of its products with all before another
    means = (sums.diagonal(dim1=1, dim2=2)[..., None] - sums) / (index[:, None] - index).clamp(min=1)
    stops = (means < threshold) | ~links(mergeable)[..., None]
    stops &= index[:, None] > index  # [batch, tokens, starts]: whether a token stops the group that began there
    end = torch.where(stops, index[:, None], tokens).amin(1)
    jump = pad(end, (0, 1), value=tokens)
    opens = torch.zeros_like(jump)
    opens[:, 0] = 1
    for _ in range(tokens.bit_length()):
        opens = opens.scatter_reduce(1, jump, opens, "amax")
        jump = jump.gather(1, jump)
    return opens[:, :-1] == 0


def diverse(hidden: Tensor, relevance: Tensor, free: Tensor, counts: Tensor) -> Tensor:
    """[batch, groups] bool: `counts` [batch] of the `free` groups, relevant and unlike each other.

    The greedy choice of a determinantal point process with the kernel relevance x cosine x relevance, in the
    incremental form of https://arxiv.org/abs/1709.05135.
    """
    unit = normalize(hidden.float(), dim=-1)
    weighted = unit * (relevance / relevance.amax(1, keepdim=True).clamp(min=_LEAST))[..., None]
    kernel = weighted @ weighted.transpose(1, 2)
    own = kernel.diagonal(dim1=1, dim2=2) * (1 + _APART)
    new = own.masked_fill(~free, float("-inf"))
    chosen = torch.zeros_like(free)
    steps = int(counts.max())
    explained = kernel.new_zeros(*free.shape, steps)
    for step in range(steps):
        best = new.argmax(1, keepdim=True)
        wanted = (step < counts)[:, None] & free.gather(1, best) & ~chosen.gather(1, best)
        chosen = chosen | torch.zeros_like(chosen).scatter(1, best, wanted)
        before = explained.gather(1, best[..., None].expand(-1, -1, steps))
        left = own.gather(1, best) - before.square().sum(-1)
        row = kernel.gather(1, best[..., None].expand(-1, -1, kernel.shape[2]))[:, 0]
        explained[..., step] = (row - (explained * before).sum(-1)) / left.clamp(min=_LEAST).sqrt()
        new = (new - explained[..., step].square()).masked_fill(chosen | ~free, float("-inf"))
    return chosen
