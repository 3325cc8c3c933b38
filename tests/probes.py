"""Redundancy maps made up for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuner.probe.curves import THRESHOLDS, WINDOWS, Curve
from tuner.probe.effect import Effect, Harm
from tuner.probe.found import RedundancyMap
from tuner.probe.likeness import Likeness
from tuner.probe.maps import GroupMap
from tuner.probe.oracle import METHODS
from tuner.probe.stretches import Stretch
from tuner.probe.verdict import verdict
from tuner.tasks.metric import WER

TOLERANCE = 0.01
_DIFFERENCES: Mapping[Harm, tuple[float, float, float]] = {
    "harmful": (0.3, 0.2, 0.4),
    "undecided": (0.02, 0.0, 0.04),
    "harmless": (0.0, -0.01, 0.01),
}


def effect(layer: int, retention: float, harm: Harm, method: str = "uniform-merge") -> Effect:
    """One that is what `harm` says at a tolerance of one point."""
    difference, low, high = _DIFFERENCES[harm]
    rate = 0.05 + difference
    return Effect(layer, method, retention, retention, rate, min(rate, 1.0), 0.0, difference, low, high)


def effects(harm_at: Mapping[tuple[int, float], Harm]) -> tuple[Effect, ...]:
    """The same for every method, by layer and retention."""
    return tuple(effect(*place, harm, method) for place, harm in harm_at.items() for method in METHODS)


def found(own: Iterable[Effect], layers: int, least_alike: float = 0.5, most_alike: float = 0.9) -> RedundancyMap:
    """A map whose similarities are spread evenly between two values at every layer: what is kept rises in between."""
    own = tuple(own)
    kept = tuple(min(max((t - least_alike) / (most_alike - least_alike), 0.0), 1.0) for t in THRESHOLDS)
    words = (Stretch(0, 2, "two"), Stretch(2, 3), Stretch(3, 4, "words"))
    return RedundancyMap(
        model="reference",
        fingerprint="abc",
        layers=layers,
        task="asr",
        metric="wer",
        dataset="made-up",
        split="search",
        utterances=40,
        aligned=40,
        tolerance=TOLERANCE,
        quality=0.05,
        beside=0.05,
        effects=own,
        likeness=tuple(Likeness(layer, 0.5, 0.4, 0.6) for layer in range(layers)),
        curves=tuple(Curve(layer, window, kept) for window in WINDOWS for layer in range(layers)),
        maps=(GroupMap("a", 1.6, 0.8, words, tuple((0, 0, 1, 2) for _ in range(layers))),),
        verdict=verdict(own, layers, TOLERANCE, WER),
    )
