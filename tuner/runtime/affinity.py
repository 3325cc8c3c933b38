"""Affinity pooling: which neighbouring tokens form a group, and the mean of each group.

Pure tensor maths that knows no model. There is no loop over tokens; the only host sync is the one that learns how long
the result is. Method: https://arxiv.org/abs/2604.06871.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

Position = Literal["first", "middle", "last"]


def joins(hidden: Tensor, mergeable: Tensor, threshold: float, window: int, largest: int = 0) -> Tensor:
    """Tells which tokens join the group that is open when they are reached.

    A token joins when its greatest cosine similarity to the last `window` members of the open group is at least
    `threshold` and the group has fewer than `largest` members; otherwise it opens a new group.

    Args:
        hidden: [batch, tokens, hidden], any floating dtype; compared in float32.
        mergeable: [batch, tokens] bool. Every other token is a group of its own, so no group reaches across it.
        threshold: cosine similarity, -1 to 1.
        window: how many of the group's last members are looked at, at least 1.
        largest: how many members a group has at most; 0 for any number, as published.

    Returns:
        [batch, tokens] bool, False where a token opens a group.
    """
    return joins_at(similarities(hidden, window), mergeable, threshold, largest)


def similarities(hidden: Tensor, window: int) -> Tensor:
    """[batch, tokens, window]: cosine similarity of each token to the one, two, ... before it; -2 where there is none.

    `hidden` is [batch, tokens, hidden]. All that thresholds need to know of it, at a fraction of the size.
    """
    unit = normalize(hidden.float(), dim=-1)
    found = torch.full((*unit.shape[:2], window), -2.0, device=unit.device)
    for distance in range(1, min(window, unit.shape[1] - 1) + 1):
        found[:, distance:, distance - 1] = (unit[:, distance:] * unit[:, :-distance]).sum(-1).clamp(-1, 1)
    return found


def joins_at(similar: Tensor, mergeable: Tensor, threshold: float | Tensor, largest: int = 0) -> Tensor:
    """`joins`, from the similarities [batch, tokens, window] of the tokens to those before them; rows may each have a
    `threshold` [batch, 1] of their own."""
    window = similar.shape[-1]
    nearest = _nearest_similar(similar, mergeable, threshold, none=max(window, largest) + 1)
    if window == 1 and not largest:
        return nearest == 1
    size_before = pad(_open_group_sizes(nearest, window, largest)[:, :-1], (1, 0))
    joined = nearest <= size_before
    return joined & (size_before < largest) if largest else joined


def _nearest_similar(similar: Tensor, mergeable: Tensor, threshold: float | Tensor, none: int) -> Tensor:
    """[batch, tokens]: how far back the nearest similar token is, `none` where there is none within the window."""
    window = similar.shape[-1]
    nearest = torch.full(mergeable.shape, none, device=similar.device)
    for distance in range(min(window, mergeable.shape[1] - 1), 0, -1):
        joined = similar[:, distance:, distance - 1] >= threshold
        joined &= mergeable[:, distance:] & mergeable[:, :-distance]
        nearest[:, distance:].masked_fill_(joined, distance)
    return nearest


def _open_group_sizes(nearest: Tensor, window: int, largest: int) -> Tensor:
    """[batch, tokens]: size of the open group after each token, counted up to `largest`, or `window` where that is 0.

    Whether a token joins depends only on that size before it: the similar token must be a member, `nearest <= size`,
    and there must be room. So every token is a function from size to size, and the functions of a stretch of tokens
    compose into one. Doubling the stretch (Hillis & Steele's prefix scan) gives all prefixes in log2(tokens) steps.
    """
    counted = largest or window
    sizes = torch.arange(1, counted + 1, device=nearest.device)
    grown = torch.where(sizes < counted, sizes + 1, 1 if largest else counted)
    after = torch.where(sizes >= nearest[..., None], grown, 1) - 1  # [batch, tokens, size before - 1] -> size after - 1
    stretch = 1
    while stretch < after.shape[1]:
        composed = after[:, stretch:].gather(-1, after[:, :-stretch])
        after = torch.cat([after[:, :stretch], composed], dim=1)
        stretch *= 2
    # The first token opens a group whatever came before it, so every start gives the same answer.
    return after[..., 0] + 1


@dataclass(frozen=True)
class Groups:
    """Groups of neighbouring tokens, in time order, each row right-aligned so that its last token stays last.

    Attributes:
        place: [batch, tokens] place of each token in its group, 0 for the first member.
        last: [batch, groups] index of each group's last member (0 in slots that no group fills).
        sizes: [batch, groups] members of each group (1 in slots that no group fills).
        real: [batch, groups] bool, False in the slots on the left that no group fills.
        largest: size of the largest group; 1 means that nothing was merged.
        dropped: whether any real token is in no group.
        full: whether every slot of every row is filled.
    """

    place: Tensor
    last: Tensor
    sizes: Tensor
    real: Tensor
    largest: int
    dropped: bool
    full: bool

    @classmethod
    def form(cls, joined: Tensor, real: Tensor, kept: Tensor | None = None) -> Groups:
        """Forms the groups that `joined` [batch, tokens] describes.

        Tokens that are not `real` are in none; nor are those that are not `kept`, across which no group reaches.
        """
        given = real
        if kept is not None:
            joined, real = joined & kept & pad(kept[:, :-1], (1, 0)), real & kept
        index = torch.arange(joined.shape[1], device=joined.device)
        place = index - torch.where(joined, 0, index).cummax(dim=1).values
        ends = real & ~pad(joined[:, 1:], (0, 1))
        ended = ends.cumsum(dim=1)
        counts = ended[:, -1:]
        shortest, longest = counts.aminmax()
        facts = [shortest, longest, place.max() + 1, *([] if kept is None else [(given ^ real).sum()])]
        shortest, longest, largest, *dropped = torch.stack(facts).tolist()
        # Groups end in slots of their own; all other tokens write to one slot behind them, which is dropped.
        slot = torch.where(ends, ended + (longest - 1 - counts), longest)
        last = index.new_full((len(joined), longest + 1), -1).scatter(1, slot, index.expand_as(slot))[:, :longest]
        filled = last >= 0
        last = last.clamp(min=0)
        sizes = torch.where(filled, place.gather(1, last) + 1, 1)
        return cls(place, last, sizes, filled, largest, dropped=any(dropped), full=longest == shortest)

    @property
    def shorter(self) -> bool:
        """Whether there are fewer groups than tokens in any row."""
        return self.largest > 1 or self.dropped

    def entry(self) -> Tensor:
        """[batch, tokens]: the group that each token belongs to, for dropped ones the next; any for padding."""
        tokens = torch.arange(self.place.shape[1], device=self.place.device).expand_as(self.place)
        return torch.searchsorted(torch.where(self.real, self.last, -1), tokens.contiguous())

    def pool(self, hidden: Tensor, weights: Tensor | None = None) -> Tensor:
        """Means of the members, taken in float32: [batch, tokens, hidden] -> [batch, groups, hidden], same dtype.

        `weights` [batch, tokens], above 0, say how much each member counts; a group of one is not changed by them.
        """
        if weights is None:
            return (self.totals(hidden.float()) / self.sizes[..., None]).to(hidden.dtype)
        totals = self.totals(hidden.float() * weights[..., None]) / self.totals(weights[..., None])
        return torch.where((self.sizes == 1)[..., None], self._at(self.last, hidden), totals.to(hidden.dtype))

    def totals(self, values: Tensor) -> Tensor:
        """Sums over the members: [batch, tokens, width] -> [batch, groups, width].

        Running sums by doubling, not `scatter_add`: the result must not depend on the order of a GPU's atomic adds.
        """
        sums, reach = values, 1
        while reach < self.largest:
            earlier = pad(sums[:, :-reach], (0, 0, reach, 0))
            sums = torch.where((self.place >= reach)[..., None], sums + earlier, sums)
            reach *= 2
        return self._at(self.last, sums)

    def member(self, position: Position) -> Tensor:
        """[batch, groups]: index of the member whose position the group keeps (the earlier of two middle ones)."""
        back = {"first": self.sizes - 1, "middle": self.sizes // 2, "last": torch.zeros_like(self.sizes)}[position]
        return self.last - back

    @staticmethod
    def _at(index: Tensor, values: Tensor) -> Tensor:
        return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
