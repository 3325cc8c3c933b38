"""Does the published hierarchy hold: shallow layers fragile, middle ones unstable, deep ones redundant?

https://arxiv.org/abs/2604.06871 found it in models of 7B parameters. It is judged by thirds of the depth, at the least
share of tokens that was left, where the differences are the clearest; the other shares are told beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.probe.effect import Effect
from tuner.report.facts import points
from tuner.tasks.metric import Metric

PUBLISHED = {"shallow": "fragile", "middle": "unstable", "deep": "redundant"}
MOST = 2 / 3  # of a third's interventions


@dataclass(frozen=True)
class Third:
    """A third of the decoder's depth, by the effects of interventions before its layers."""

    name: str
    effects: tuple[Effect, ...]
    tolerance: float
    metric: Metric

    @property
    def character(self) -> str:
        """Of the interventions that leave least: fragile where most are harmful, redundant where most are harmless,
        unstable where some are harmful and some harmless, else undecided: the utterances are too few to tell."""
        counts = self.counts(min(one.retention for one in self.effects))
        for character, harm in (("fragile", "harmful"), ("redundant", "harmless")):
            if counts[harm] >= MOST * counts.total():
                return character
        return "unstable" if counts["harmful"] and counts["harmless"] else "undecided"

    def counts(self, retention: float) -> Counter[str]:
        """How many interventions that leave this share are harmless, harmful or undecided."""
        return Counter(one.harm(self.tolerance) for one in self.effects if one.retention == retention)

    def sentence(self) -> str:
        """Its layers, its character and the counts behind it."""
        layers = sorted({one.layer for one in self.effects})
        worst = max(self.effects, key=lambda one: one.difference)
        counted = "; ".join(_counted(retention, self.counts(retention)) for retention in _retentions(self.effects))
        change = points(self.metric.change(worst.difference))
        return (
            f"The {self.name} third (layers {', '.join(map(str, layers))}) is {self.character}: {counted}. At worst "
            f"{change} points, by {worst.method} to {worst.retention:.0%} before layer {worst.layer}."
        )


def thirds(effects: Sequence[Effect], layers: int, tolerance: float, metric: Metric) -> list[Third]:
    """The thirds of a decoder of so many layers; those where nothing was probed are left out."""
    found = []
    for number, name in enumerate(PUBLISHED):
        own = tuple(one for one in effects if 3 * one.layer // layers == number)
        if own:
            found.append(Third(name, own, tolerance, metric))
    return found


def verdict(effects: Sequence[Effect], layers: int, tolerance: float, metric: Metric) -> tuple[str, ...]:
    """A sentence for each third, and first whether the hierarchy holds."""
    found = thirds(effects, layers, tolerance, metric)
    hierarchy = "The published hierarchy (shallow fragile, middle unstable, deep redundant)"
    others = [one for one in found if one.character != PUBLISHED[one.name]]
    differing = "; ".join(f"the {one.name} third is {one.character}, not {PUBLISHED[one.name]}" for one in others)
    missing = [name for name in PUBLISHED if name not in {one.name for one in found}]
    if missing:
        whole = f"{hierarchy} was not put to the test as a whole: nothing was probed in the {', '.join(missing)} third."
    elif not others:
        whole = f"{hierarchy} holds here."
    elif any(one.character != "undecided" for one in others):
        whole = f"{hierarchy} does not hold here: {differing}."
    else:
        whole = f"{hierarchy} is neither confirmed nor refuted here, more utterances would tell: {differing}."
    return (whole, *(one.sentence() for one in found))


def _retentions(effects: Sequence[Effect]) -> list[float]:
    return sorted({one.retention for one in effects})


def _counted(retention: float, counts: Counter[str]) -> str:
    parts = [f"{counts[harm]} {harm}" for harm in ("harmful", "undecided", "harmless") if counts[harm]]
    return f"of {counts.total()} interventions that leave {retention:.0%}, {', '.join(parts)}"
