"""Pruning by norm: tokens with short keys get most attention and stay, https://arxiv.org/abs/2406.11430.

There keys leave a cache; here tokens leave the layer whose keys are looked at, and all behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfUtterance
from tuner.methods.shares import highest, share


@dataclass(frozen=True)
class Norm(OfUtterance):
    """Keeps `ratio` of the utterance's tokens, those whose keys are shortest, on average over heads."""

    def __call__(self, seen: Seen) -> Grouping:
        """Drops the tokens with the longest keys."""
        free = seen.mergeable
        length = seen.attend().keys.float().norm(dim=-1).mean(1)
        stay = highest(-length, free, share(free.sum(1), self.ratio))
        return Grouping(torch.zeros_like(free), kept=stay | ~free)
