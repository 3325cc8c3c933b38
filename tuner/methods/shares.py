"""How many tokens a ratio keeps, and which: evenly spread cells of a run, or the highest scores of an utterance.

A run is a stretch of mergeable tokens without a gap; an utterance's tokens are all those of its row. Counts are whole
numbers from whole numbers, so that no rounding of a device decides them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

_PARTS = 10_000  # ratios have four digits


def share(tokens: Tensor, ratio: float) -> Tensor:
    """`ratio` of so many `tokens` (whole numbers of any shape), rounded; at least one where there are any."""
    rounded = (tokens * round(ratio * _PARTS) + _PARTS // 2) // _PARTS
    return torch.minimum(rounded.clamp(min=1), tokens)


def highest(scores: Tensor, free: Tensor, counts: Tensor) -> Tensor:
    """[batch, tokens] bool: those of the `free` tokens with the `counts` [batch] highest scores, the earlier of two
    with the same."""
    order = scores.masked_fill(~free, float("-inf")).argsort(dim=1, descending=True, stable=True)
    return free & (order.argsort(dim=1) < counts[:, None])


def links(mergeable: Tensor) -> Tensor:
    """[batch, tokens] bool: which mergeable tokens come right behind another one."""
    return mergeable & pad(mergeable[:, :-1], (1, 0))


@dataclass(frozen=True)
class Runs:
    """Where each mergeable token is in its run; all [batch, tokens] whole numbers, 0 for other tokens.

    Attributes:
        place: how many tokens of the run come before it.
        length: how many tokens the run has.
    """

    place: Tensor
    length: Tensor

    @classmethod
    def of(cls, mergeable: Tensor) -> Runs:
        """The runs of `mergeable` [batch, tokens]."""
        index = torch.arange(mergeable.shape[1], device=mergeable.device)
        opens = mergeable & ~links(mergeable)
        run = opens.cumsum(1)
        lengths = run.new_zeros(len(run), run.shape[1] + 1).scatter_add(1, run, mergeable.long())
        place = index - torch.where(opens, index, 0).cummax(1).values
        return cls(place * mergeable, lengths.gather(1, run) * mergeable)


def same_cell(mergeable: Tensor, ratio: float) -> Tensor:
    """[batch, tokens] bool: which tokens share a cell with the token before, where every run is cut into `ratio` times
    as many cells as it has tokens, sizes as even as can be."""
    runs = Runs.of(mergeable)
    cell = runs.place * share(runs.length, ratio) // runs.length.clamp(min=1)
    return (runs.place > 0) & (cell == pad(cell[:, :-1], (1, 0)))
