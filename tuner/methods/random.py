"""Random dropping, the baseline that every choice of tokens has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfUtterance
from tuner.methods.shares import highest, share

_MASK = (1 << 32) - 1


@dataclass(frozen=True)
class Random(OfUtterance):
    """Which tokens stay depends on their number among the utterance's audio tokens and on `seed`: the same in every
    run, batch and on every device."""

    seed: int = 0

    def __call__(self, seen: Seen) -> Grouping:
        """Drops all but `ratio` of the tokens."""
        free = seen.mergeable
        stay = highest(_noise(free.cumsum(1), self.seed), free, share(free.sum(1), self.ratio))
        return Grouping(torch.zeros_like(free), kept=stay | ~free)


def _noise(numbers: Tensor, seed: int) -> Tensor:
    """Scrambled numbers of 32 bits: twice a multiplication that spreads the bits and a shift that folds them."""
    mixed = (numbers * 0x9E3779B1 + (seed + 1) * 0x85EBCA77) & _MASK
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & _MASK
        mixed = mixed ^ (mixed >> 13)
    return mixed.float()
