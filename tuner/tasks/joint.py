"""Several tasks as one: every utterance is asked once for each of them, and the task that loses most decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from transformers import BatchFeature

from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import TunerError
from tuner.tasks.base import Task
from tuner.tasks.metric import Metric, Statistics, Values, register

FLOOR = 0.1  # of quality: what a model cannot do without a policy it cannot lose much of


@dataclass(frozen=True)
class Worst(Metric):
    """The greatest loss of any task. Its statistics are those of all tasks side by side, 0 in an utterance that is
    asked for another one.

    What a policy is judged by is the greatest share that a task loses of its baseline's quality, which is 1 minus the
    loss and counts as at least `FLOOR`: a WER that goes from 5 % to 6 % and a BLEU that goes from 60.0 to 59.4 are one
    hundredth each.
    """

    metrics: tuple[Metric, ...] = ()

    def value(self, sums: Values) -> Values:
        return np.asarray(np.max([metric.loss(part) for metric, part in self.parts(sums)], axis=0))

    def worsening(self, sums: Values, baseline: Values) -> Values:
        lost = [
            metric.worsening(part, bare) / np.maximum(1 - metric.loss(bare), FLOOR)
            for (metric, part), (_, bare) in zip(self.parts(sums), self.parts(baseline), strict=True)
        ]
        return np.asarray(np.max(lost, axis=0))

    def size(self, statistics: Values) -> Values:
        return np.asarray(np.sum([metric.size(part) for metric, part in self.parts(statistics)], axis=0))

    def per_size(self, amounts: Values, statistics: Values) -> float:
        """That of the worst-off task."""
        return max(
            metric.per_size(amounts[metric.size(part) > 0], part[metric.size(part) > 0])
            for metric, part in self.parts(statistics)
        )

    def parts(self, statistics: Values) -> Iterator[tuple[Metric, Values]]:
        """Each task's metric with its own of the statistics [..., statistics]."""
        start = 0
        for metric in self.metrics:
            yield metric, statistics[..., start : start + metric.width]
            start += metric.width


@dataclass(frozen=True)
class Joint(Task):
    """Asks for each utterance what the task it is `for_task` would; made by `joint`."""

    tasks: Mapping[str, Task] = field(default_factory=dict)

    def with_prompt(self, prompt: str) -> Self:
        raise TunerError(f"--prompt {prompt!r} is one instruction for {len(self.tasks)} tasks; search for one of them")

    def for_model(self, architecture: str) -> Self:
        return replace(self, tasks={name: task.for_model(architecture) for name, task in self.tasks.items()})

    def prompt_for(self, utterance: Utterance) -> str:
        return self._of(utterance).prompt_for(utterance)

    def prepare(self, processor: Any, utterances: Sequence[Utterance]) -> BatchFeature:
        """Of a batch for a single task, as `batches` makes them."""
        return self._of(utterances[0]).prepare(processor, utterances)

    def decode(self, processor: Any, utterances: Sequence[Utterance], answers: Sequence[Sequence[int]]) -> list[str]:
        texts = zip(utterances, answers, strict=True)
        return [self._of(one).decode(processor, [one], [answer])[0] for one, answer in texts]

    def limit(self, utterance: Utterance) -> int:
        return self._of(utterance).limit(utterance)

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        return self._of(utterance).reference(utterance)

    def statistics(self, utterance: Utterance, said: str, own: str | None = None) -> Statistics:
        found: list[float] = []
        for name, task in self.tasks.items():
            width = task.metric.width
            scored = task.statistics(utterance, said, own) if name == utterance.for_task else ()
            if len(scored) > width:
                raise TunerError(f"{name}: scores with {len(scored)} statistics, but its metric has width={width}")
            found += [*scored, *[0.0] * (width - len(scored))]
        return tuple(found)

    def _of(self, utterance: Utterance) -> Task:
        return self.tasks[utterance.for_task]


def joint(tasks: Sequence[Task]) -> Joint:
    """The tasks as one, whose metric is known by its name from then on."""
    names = [task.name for task in tasks]
    metrics = tuple(task.metric for task in tasks)
    if len(set(names)) < len(names):
        raise TunerError(f"a task is named twice in {', '.join(names)}; name each once")
    worst = Worst(
        f"worst_of_{'_'.join(f'{name}.{one.name}' for name, one in zip(names, metrics, strict=True))}",
        "worst loss",
        width=sum(metric.width for metric in metrics),
        metrics=metrics,
    )
    register(worst)
    return Joint("+".join(names), worst, prompt="", tasks=dict(zip(names, tasks, strict=True)))


def joined(parts: Mapping[str, UtteranceSet]) -> UtteranceSet:
    """Each task's utterances in one set, told apart by `for_task` and by their ids."""
    first = next(iter(parts.values()))
    utterances = tuple(
        replace(one, id=f"{name}: {one.id}", for_task=name) for name, data in parts.items() for one in data.utterances
    )
    return UtteranceSet(
        first.name, first.split, utterances, tuple(bad for data in parts.values() for bad in data.skipped)
    )
