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
        quality, beside, broken: as of `Evaluation`; None where no other metric is shown beside it.
        difference: of its loss to the baseline's, so above 0 is worse whichever way the metric goes.
        low, high: its 95 % interval, by a paired bootstrap over utterances.
    """

    layer: int
    method: str
    retention: float
    kept: float
    quality: float
    beside: float | None
    broken: float
    difference: float
    low: float
    high: float

    def harm(self, tolerance: float) -> Harm:
        """Harmless where even the upper bound is within the tolerance, harmful where even the lower one is not."""
        return "harmless" if self.high <= tolerance else "harmful" if self.low > tolerance else "undecided"


def beside(evaluation: Evaluation) -> float | None:
    """The metric that is shown beside the evaluation's, where there is one."""
    return None if evaluation.metric.beside is None else evaluation.beside


def effect(intervention: Intervention, evaluation: Evaluation, baseline: Evaluation) -> Effect:
    """Holds an intervention's evaluation against the baseline's."""
    difference = paired_difference(evaluation.statistics, baseline.statistics, baseline.metric)
    left, whole = (
        np.sum([one.audio_tokens[intervention.layer] for one in of.records]) for of in (evaluation, baseline)
    )
    return Effect(
        intervention.layer,
        intervention.method,
        intervention.retention,
        kept=float(left / whole),
        quality=evaluation.quality,
        beside=beside(evaluation),
        broken=evaluation.broken,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
    )
