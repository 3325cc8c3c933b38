"""Judging one policy on several tasks at once: every budget has to hold for each task's prompts, and each task's own
numbers are kept for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tuner.data.utterances import UtteranceSet
from tuner.evaluate.costing import Costing
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement
from tuner.tasks.joint import Joint


class JointJudge(Judge):
    """Holds a policy against the baseline on all tasks; of a cost the worst task's ratio counts.

    Args:
        baseline, costing, budgets: as for `Judge`.
        task: with its tasks by name.
        data: the utterances, of which each is for one task.
    """

    def __init__(
        self, baseline: Evaluation, costing: Costing, budgets: Mapping[str, float], task: Joint, data: UtteranceSet
    ) -> None:
        super().__init__(baseline, costing, budgets)
        self._task = task
        self._for = {one.id: one.for_task for one in data.utterances}
        self._judges = {name: Judge(part, costing, budgets) for name, part in self._parts(baseline).items()}

    def costs(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, float]]:
        """The greatest ratio of any task for each cost, and the greatest upper bound of those with a budget."""
        known = {self._for[record.id] for record in evaluation.records}
        found = [super(JointJudge, self).costs(self._only(evaluation, name)) for name in known]
        ratios, bounds = ({cost: max(one[side][cost] for one in found) for cost in found[0][side]} for side in (0, 1))
        return ratios, bounds

    def judgement(self, label: str, policy: Policy, evaluation: Evaluation) -> Judgement:
        """With each task's own judgement as its parts."""
        parts = tuple(
            replace(self._judges[name].judgement(label, policy, part), task=name, metric=part.metric.name)
            for name, part in self._parts(evaluation).items()
        )
        return replace(super().judgement(label, policy, evaluation), parts=parts)

    def _only(self, evaluation: Evaluation, name: str) -> Evaluation:
        return replace(evaluation, records=tuple(one for one in evaluation.records if self._for[one.id] == name))

    def _parts(self, evaluation: Evaluation) -> dict[str, Evaluation]:
        """A decoded evaluation task by task, each with the statistics of its own metric."""
        found: dict[str, Evaluation] = {}
        start = 0
        for name, task in self._task.tasks.items():
            end = start + task.metric.width
            part = self._only(evaluation, name)
            records = tuple(replace(one, statistics=one.statistics[start:end]) for one in part.records)
            found[name] = replace(part, records=records, metric=task.metric)
            start = end
        return found
