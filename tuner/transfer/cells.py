"""One policy in one place: how it compares with the bare model there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuner.data.utterances import UtteranceSet
from tuner.evaluate.costing import Costing
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement
from tuner.tasks.metric import Metric, named


@dataclass(frozen=True)
class Place:
    """Where a policy is tried; `speaker` is None where all are meant."""

    task: str
    metric: str
    dataset: str
    split: str
    condition: str
    speaker: str | None = None

    @property
    def speech(self) -> str:
        """Data set and split."""
        return f"{self.dataset}, {self.split}"


@dataclass(frozen=True)
class Cell:
    """A policy's judgement in a place: paired with the bare model on the same utterances."""

    place: Place
    judged: Judgement

    @property
    def policy(self) -> str:
        """The policy's name, with the task that it was found for."""
        return f"{self.judged.label} ({self.judged.policy.task})"

    @property
    def metric(self) -> Metric:
        """What quality is measured by there."""
        return named(self.place.metric)

    def to_json(self) -> dict[str, Any]:
        """Plain data: values of the metric as fractions, the change in its own direction."""
        judged, metric = self.judged, self.metric
        return {
            "policy": judged.label,
            "policy_task": judged.policy.task,
            "policy_hash": judged.policy.hash,
            **vars(self.place),
            "n": judged.n,
            "baseline": judged.baseline,
            "value": judged.quality,
            "value_ci95": judged.quality_ci95,
            "change": metric.change(judged.difference),
            "change_ci95": metric.change_of(judged.ci95),
            "broken": judged.broken,
            "costs": dict(judged.costs),
        }


def cells(
    place: Place,
    data: UtteranceSet,
    baseline: Evaluation,
    found: Mapping[str, tuple[Policy, Evaluation]],
    costing: Costing,
) -> Iterator[Cell]:
    """Each policy's cell; where there are several speakers, one for each of them as well.

    Args:
        data: the utterances of the place.
        baseline: of the bare model on them.
        found: by label, policies and what they did to the same utterances.
    """
    speakers = {one.id: one.speaker for one in data.utterances}
    known = sorted({name for name in speakers.values() if name is not None})
    for speaker in (None, *(known if len(known) > 1 else ())):

        def of(whole: Evaluation, who: str | None = speaker) -> Evaluation:
            heard = tuple(record for record in whole.records if who is None or speakers[record.id] == who)
            return replace(whole, records=heard)

        judge = Judge(of(baseline), costing, {})
        for label, (policy, evaluation) in found.items():
            yield Cell(replace(place, speaker=speaker), judge.judgement(label, policy, of(evaluation)))
