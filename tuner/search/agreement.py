"""Judging speech that nobody wrote down: how far a policy's transcripts stray from the baseline's own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from tuner.errors import SearchError
from tuner.evaluate.records import Evaluation
from tuner.tasks.base import Score, Task

log = logging.getLogger(__name__)

AGREEMENT, DISAGREEMENT = "agreement", "disagreement"  # what is asked for, and the rate it is measured by


@dataclass(frozen=True)
class Agreement:
    """A task as it is, but judged by agreement with the baseline; its rate is the disagreement, so lower is better."""

    task: Task
    metric: str = DISAGREEMENT

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def prompt(self) -> str:
        """The task's."""
        return self.task.prompt

    @property
    def transcribes(self) -> bool:
        """The task's."""
        return self.task.transcribes

    def max_new_tokens(self, seconds: float) -> int:
        """The task's."""
        return self.task.max_new_tokens(seconds)

    def score(self, reference: str, hypothesis: str) -> Score:
        """The task's errors, the reference being what the baseline said."""
        return self.task.score(reference, hypothesis)


def judged_by(metric: str | None, task: Task) -> Task:
    """The task with that metric; with its own where none is named.

    Raises:
        SearchError: there is no such metric.
    """
    if metric is None or metric == task.metric:
        return task
    if metric != AGREEMENT:
        raise SearchError(f"metric {metric!r} is not known for {task.name}; there are: {task.metric}, {AGREEMENT}")
    return Agreement(task)


def with_itself(baseline: Evaluation, task: Task) -> Evaluation:
    """The baseline's evaluation scored against its own transcripts: no errors, and the words that others can miss.

    Where the baseline says nothing there is nothing to miss: the total is 0, and whatever a policy says is an error.

    Raises:
        SearchError: the baseline says nothing at all.
    """
    records = tuple(
        replace(record, errors=0, total=task.score(record.text, record.text).total) for record in baseline.records
    )
    if not any(record.total for record in records):
        raise SearchError(
            f"--metric {AGREEMENT}: the model says nothing about any of the {len(records)} utterances of "
            f"{baseline.split}, so no policy can be held against it; is it speech, and this its model?"
        )
    if baseline.broken:
        log.warning(
            "%s: %.1f%% of the model's own transcripts are empty or were cut off at the length limit, and policies are "
            "held against them all the same",
            baseline.split,
            100 * baseline.broken,
        )
    return replace(baseline, records=records)
