"""What affinity pooling would keep at each layer of the bare model, threshold by threshold; nothing runs for it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from tuner.evaluate.bands import Bands
from tuner.runtime.affinity import joins_at

THRESHOLDS = tuple(round(0.02 * number, 2) for number in range(51))
WINDOWS = (1, 3)  # the published ones


@dataclass(frozen=True)
class Curve:
    """The share of audio tokens that a site at `layer` with `window` keeps, at each of `THRESHOLDS`."""

    layer: int
    window: int
    kept: tuple[float, ...]

    def at(self, threshold: float) -> float:
        """Between the thresholds that were asked about, the straight line."""
        above = min(max(bisect_left(THRESHOLDS, threshold), 1), len(THRESHOLDS) - 1)
        low, high = THRESHOLDS[above - 1], THRESHOLDS[above]
        share = min(max((threshold - low) / (high - low), 0.0), 1.0)
        return self.kept[above - 1] + share * (self.kept[above] - self.kept[above - 1])


def curves(bands: Bands) -> tuple[Curve, ...]:
    """One for each layer and window; exact for a policy's first site."""
    audio = int(bands.tokens.mergeable.sum())

    def kept(layer: int, window: int, threshold: float) -> float:
        similar = bands.by_layer[layer].cosines[..., :window]
        return 1 - int(joins_at(similar, bands.tokens.mergeable, threshold).sum()) / audio

    return tuple(
        Curve(layer, window, tuple(kept(layer, window, threshold) for threshold in THRESHOLDS))
        for window in WINDOWS
        for layer in bands.by_layer
    )


def halving(found: tuple[Curve, ...]) -> float:
    """The threshold at which, with the narrowest window, half of the tokens are left in the mean over the layers."""
    narrow = [curve.kept for curve in found if curve.window == min(WINDOWS)]
    means = [sum(shares) / len(narrow) for shares in zip(*narrow, strict=True)]
    return THRESHOLDS[min(bisect_left(means, 0.5), len(THRESHOLDS) - 1)]
