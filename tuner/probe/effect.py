"""What an intervention did to the task's metric: the one place that knows how harm is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuner.evaluate.records import Evaluation
from tuner.evaluate.statistics import paired_difference
from tuner.probe.interventions import Intervention

Harm = Literal["harmless", "harmful", "undecided"]


@dataclass(frozen=True)
class Effect:
    """One intervention, held against the baseline on the same utterances.

    Attributes:
        layer, method, retention: the intervention.
        kept: the share of audio tokens that was really left behind the layer: words are not divisible at will.
        quality, clamped, broken: as of `Evaluation`.
        difference: of the quality to the baseline's; above 0 is worse.
        low, high: its 95 % interval, by a paired bootstrap over utterances.
    """

    layer: int
    method: str
    retention: float
    kept: float
    quality: float
    clamped: float
    broken: float
    difference: float
    low: float
    high: float

    def harm(self, tolerance: float) -> Harm:
        """Harmless where even the upper bound is within the tolerance, harmful where even the lower one is not."""
        return "harmless" if self.high <= tolerance else "harmful" if self.low > tolerance else "undecided"


def effect(intervention: Intervention, evaluation: Evaluation, baseline: Evaluation) -> Effect:
    """Holds an intervention's evaluation against the baseline's."""
    difference = paired_difference(evaluation.errors, baseline.errors, baseline.totals)
    left, whole = (
        np.sum([one.audio_tokens[intervention.layer] for one in of.records]) for of in (evaluation, baseline)
    )
    return Effect(
        intervention.layer,
        intervention.method,
        intervention.retention,
        kept=float(left / whole),
        quality=evaluation.quality,
        clamped=evaluation.clamped,
        broken=evaluation.broken,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
    )
