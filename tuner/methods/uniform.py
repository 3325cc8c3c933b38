"""Uniform merging: every few neighbours become one, whatever they are.

The plainest way to spend a budget, against which https://arxiv.org/abs/2604.06871 measures adaptive merging.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfRuns
from tuner.methods.shares import same_cell


@dataclass(frozen=True)
class Uniform(OfRuns):
    """Each run becomes `ratio` times as many means, of groups whose sizes differ by one at most."""

    def __call__(self, seen: Seen) -> Grouping:
        """Merges the tokens of a cell."""
        return Grouping(same_cell(seen.mergeable, self.ratio))
