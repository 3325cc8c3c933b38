"""Linear interpolation along time to fewer tokens, a baseline of https://arxiv.org/abs/2604.06871.

The points are those of `torch.nn.functional.interpolate(mode="linear")`: the middles of equal cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tuner.methods.base import Grouping, Seen
from tuner.methods.byratio import OfRuns
from tuner.methods.shares import Runs, share


@dataclass(frozen=True)
class Interpolate(OfRuns):
    """Each run becomes `ratio` times as many points between its tokens; a point keeps the earlier one's position."""

    def __call__(self, seen: Seen) -> Grouping:
        """Keeps the token before each point, moved towards the next by what is left to the point.

        Point j of k over n tokens is at (2j + 1)n / 2k - 1/2, in whole numbers (2j + 1)n - k over 2k.
        """
        runs = Runs.of(seen.mergeable)
        tokens, points = runs.length.clamp(min=1), share(runs.length, self.ratio).clamp(min=1)
        point = -((tokens - points * (2 * runs.place + 1)) // (2 * tokens))  # the first at or behind this token
        point = point.clamp(min=0)
        beyond = (2 * point + 1) * tokens - points - 2 * points * runs.place
        here = seen.mergeable & (point < points) & (beyond >= 0) & (beyond < 2 * points)
        blend = torch.where(here, beyond / (2 * points), 0.0)
        return Grouping(torch.zeros_like(here), kept=here | ~seen.mergeable, blend=blend)
