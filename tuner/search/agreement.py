"""Judging by another metric than the task's own; among them one for speech that nobody wrote down: how far a policy's
answers stray from the baseline's own."""

from __future__ import annotations

import logging
from dataclasses import replace

from tuner.errors import SearchError
from tuner.evaluate.records import Evaluation
from tuner.tasks.base import Task
from tuner.tasks.joint import Joint, joint
from tuner.tasks.metric import DISAGREEMENT

log = logging.getLogger(__name__)

AGREEMENT = "agreement"  # what is asked for; it is measured by the disagreement, so lower is better


def judged_by(metric: str | None, task: Task) -> Task:
    """The task with that metric; with its own where none is named.

    Raises:
        SearchError: there is no such metric.
    """
    if isinstance(task, Joint):
        return joint([judged_by(metric, one) for one in task.tasks.values()])
    known = {one.name: one for one in (task.metric, *task.others)} | {AGREEMENT: DISAGREEMENT}
    if metric is None:
        return task
    if metric not in known:
        raise SearchError(f"metric {metric!r} is not known for {task.name}; there are: {', '.join(known)}")
    return replace(task, metric=known[metric])


def check_own(baseline: Evaluation) -> None:
    """Looks whether the baseline's own answers can stand in for references.

    Where the baseline says nothing there is nothing to miss: the size is 0, and whatever a policy says is an error.

    Raises:
        SearchError: the baseline says nothing at all.
    """
    if not baseline.sizes.any():
        raise SearchError(
            f"--metric {AGREEMENT}: the model says nothing about any of the {len(baseline.records)} utterances of "
            f"{baseline.split}, so no policy can be held against it; is it speech, and this its model?"
        )
    if baseline.broken:
        log.warning(
            "%s: %.1f%% of the model's own answers are empty or were cut off at the length limit, and policies are "
            "held against them all the same",
            baseline.split,
            100 * baseline.broken,
        )
