"""What all cells of a comparison share: model, speech, the baseline on every split, and the run's folder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

from tuner.compare.plan import COST, Plan
from tuner.data.utterances import UtteranceSet
from tuner.evaluate.breakeven import pays
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.keep import Keep
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.drift import drift
from tuner.search.judge import Matched
from tuner.search.outcome import Judgement
from tuner.search.run import judge_baseline
from tuner.search.watch import Watcher

# Of a cost ratio: a method whose cost depends on what is said may cost so much more on other speech than where it was
# matched. What it costs there is in the tables.
SLACK = 0.01


@dataclass(frozen=True)
class Arena:
    """Judges any policy on the split that is searched on, on the one where finalists are chosen, and on the one that
    decides: the test split, or where there is none the one chosen on. The baseline is decoded once on each."""

    plan: Plan
    context: Context

    @classmethod
    def of(cls, plan: Plan, watcher: Watcher) -> Arena:
        """Loads all that a comparison needs.

        Raises:
            TunerError: something is wrong with it, or the run's folder belongs to a comparison of something else.
        """
        plan = plan.named()
        # Three splits are kept at hand, each in a third of the memory.
        settings = replace(plan.search, memory=plan.search.memory / 3)
        path = settings.runs / settings.run_name()
        anew = not (path / "config.yaml").exists()
        context = Context(settings, None if anew else path, watcher)
        facts = {
            name: text
            for name, text in context.identity().items()
            if name not in ("space", "budgets", "objective", "parameters")
        }
        test = context.splits.test
        facts |= {"test": "" if test is None else test.digest, "finalists": str(settings.finalists)}
        facts |= {"trials": str(settings.trials), "seed": str(settings.seed)}
        if plan.chosen_by is not None:
            facts["choices"] = plan.chosen_by
        context.folder.keep_to(facts, plan.to_plain(), anew=anew)
        context.folder.note("environment", context.environment())
        return cls(plan, context)

    @property
    def decides(self) -> UtteranceSet:
        """The speech that all methods are measured on."""
        return self.context.splits.test or self.context.splits.selection

    @cached_property
    def searched(self) -> Drafted:
        """Judges candidates on the search split."""
        return judge_baseline(self.context)

    @cached_property
    def selected(self) -> Drafted:
        """Judges finalists on the selection split."""
        return self._drafted("selection", self._selection)

    @cached_property
    def decided(self) -> Drafted:
        """Judges each method's choice where it counts, which says what `generate()` does."""
        return self.selected if self.context.splits.test is None else self._drafted("test", self._final)

    @property
    def baseline(self) -> Evaluation:
        """What the baseline says where it counts."""
        return self.decided.baseline

    def finalists(self, policies: Iterable[Policy], budget: float) -> list[tuple[Judgement, float]]:
        """Judgements and drifts on the selection split."""
        judge = Matched(self.selected.baseline, self.context.costing(self._selection), {COST: budget + SLACK})
        found = [(policy, self.selected.evaluate(policy)) for policy in policies]
        baseline = self.selected.baseline
        return [(judge.judgement("", policy, one), drift(one, baseline)) for policy, one in found]

    def measured(self, label: str, policy: Policy, budget: float) -> Judgement:
        """Where it counts; each policy runs once."""
        judge = Matched(self.baseline, self.context.costing(self._final), {COST: budget + SLACK})
        evaluation = self.recorded(policy)
        if evaluation is None:
            evaluation = self.decided.evaluate(policy)
            self.context.folder.save(self._part, policy, evaluation)
        return judge.judgement(label, policy, evaluation)

    def drift(self, policy: Policy) -> float | None:
        """How far what `measured` judged is from the baseline's answers; None where it was not asked."""
        evaluation = self.recorded(policy)
        found = math.inf if evaluation is None else drift(evaluation, self.baseline)
        return found if math.isfinite(found) else None

    def recorded(self, policy: Policy) -> Evaluation | None:
        """What `measured` judged."""
        found = self.context.folder.find(self._part, policy.hash)
        return None if found is None else found[1]

    def first_token(self, policy: Policy) -> float | None:
        """The time to the first token over the baseline's, measured turn by turn; None for a policy without sites."""
        if policy.is_identity:
            return None
        utterances = self.decides.utterances
        measured = pays(self.context.loaded, policy, self.context.task, utterances, lambda _: None)
        return median(one.ratio for one in measured)

    def _drafted(self, part: str, evaluator: Evaluator) -> Drafted:
        """Judges by drafts on the speech of `evaluator`, which judges the baseline."""
        context, count = self.context, len(evaluator.data)
        context.watcher.stage(f"baseline, {part}", count)
        baseline = context.evaluate(part, context.baseline, evaluator, context.watcher.advance)
        context.watcher.stage(f"encoding, {part}", 2 * count)
        keep = Keep(context.loaded.device, limit=round(context.settings.memory * 1e9))
        return Drafted(evaluator, context.baseline, baseline, keep=keep, progress=context.watcher.advance)

    @property
    def _part(self) -> str:
        return "selection" if self.context.splits.test is None else "test"

    @cached_property
    def _selection(self) -> Evaluator:
        return self.context.evaluator_for(self.context.splits.selection, encode_once=True)

    @cached_property
    def _final(self) -> Evaluator:
        test = self.context.splits.test
        return self._selection if test is None else self.context.evaluator_for(test, encode_once=True)
