"""Stride-k: every k-th token stays, the others are dropped, https://arxiv.org/abs/2608.30927."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfRuns
from tuner.methods.shares import same_cell


@dataclass(frozen=True)
class Stride(OfRuns):
    """At `ratio` 1/k the first of every k tokens stays; at ratios between, as evenly as can be."""

    def __call__(self, seen: Seen) -> Grouping:
        """Keeps the first token of each cell."""
        return Grouping(torch.zeros_like(seen.mergeable), kept=~same_cell(seen.mergeable, self.ratio))
