"""The trials of a search: the known policies first, then what the sampler proposes, each judged once."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import SearchError
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search import selection, study
from tuner.search.context import BASELINE, Context
from tuner.search.drift import Drift
from tuner.search.interrupt import CtrlC
from tuner.search.judge import Judge, Verdict
from tuner.search.outcome import TrialResult
from tuner.search.proposal import Proposals
from tuner.search.space import Params
from tuner.tracking import Tracker

log = logging.getLogger(__name__)

FOCUS = 0.95  # of the budget: below it the sampler is not rewarded for saving more
HOPELESS = 0.1  # nats a word: beyond it one policy is as bad as another


class Trials:
    """Runs trials and remembers their results, those of an earlier process included."""

    def __init__(self, context: Context, judge: Judge, opened: optuna.Study, tracker: Tracker) -> None:
        self.context, self.judge, self.study, self.tracker = context, judge, opened, tracker
        self.drift = Drift(context.evaluator, context.baseline, judge.baseline)
        self.proposals = Proposals(context, judge, solve=context.settings.solve)
        self.known = {BASELINE: context.baseline, **context.presets}
        self.results: list[TrialResult] = []
        self.interrupted = False
        self._ctrl_c = CtrlC()

    def run(self, deadline: float | None) -> list[TrialResult]:
        """Runs until the study has as many finished trials as were asked for, or `deadline` (of `time.monotonic`).

        Ctrl-C ends it early and sets `interrupted`.
        """
        study.recover(self.study)
        inside, outside = self._known_policies()
        study.enqueue_fixed(self.study, inside)
        for trial in self.study.get_trials(states=(TrialState.COMPLETE,)):
            self._keep(self._of_trial(trial))
            self.tracker.trial(self.results[-1])  # in case the process died before it could
        self.context.watcher.stage("trials", self.context.settings.trials)
        self.context.watcher.advance(len(self.results))
        left = self.context.settings.trials - len(self.results)
        try:
            with self._ctrl_c:
                for place, (label, policy) in enumerate(outside):
                    with self._ctrl_c.heard():
                        evaluation = self.context.evaluate("candidates", policy, self.context.evaluator)
                        drift = self.drift.of(policy)
                    self._announce(self._result(-1 - place, label, policy, evaluation, drift))
                if left > 0:
                    timeout = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                    self.study.optimize(self._objective, n_trials=left, timeout=timeout, callbacks=[self._ended])
                with self._ctrl_c.heard():
                    pass  # pressed while the last trial was being written
        except KeyboardInterrupt:
            self.interrupted = True
            study.recover(self.study)
            log.warning("interrupted: going on with the %d trials that are finished", len(self.results))
        return self.results

    def _known_policies(self) -> tuple[list[tuple[str, Params]], list[tuple[str, Policy]]]:
        """Baseline and presets: those that the space can express, as its parameters, and the others as they are.

        The sampler must not see trials without parameters, so the others are judged beside the study.
        """
        inside: list[tuple[str, Params]] = []
        outside: list[tuple[str, Policy]] = []
        for label, policy in self.known.items():
            params = self.proposals.known_params(policy)
            if params is None:
                outside.append((label, policy))
            else:
                inside.append((label, params))
        return inside, outside

    def _objective(self, trial: optuna.Trial) -> tuple[float, float]:
        with self._ctrl_c.heard():
            study.claim(trial)
            policy = self.proposals.draw(trial, self.known.get(trial.user_attrs.get("label", "")))
            verdict = self.judge.verdict(self.context.evaluate("candidates", policy, self.context.evaluator))
            drift = self.drift.of(policy)
        for name, budget in self.context.settings.budgets.items():
            trial.set_constraint(name, verdict.bounds[name] / budget - 1)  # relative, so that all count alike
        trial.set_user_attr("policy", policy.hash)
        trial.set_user_attr("drift", drift)
        return self._for_sampler(verdict, drift)

    def _for_sampler(self, verdict: Verdict, drift: float) -> tuple[float, float]:
        """Quality and cost as the sampler sees them, flat where no policy is wanted: so it looks near the budget and
        among usable policies instead of tracing the whole front down to gibberish. Results keep the true values.

        Costs of policies that spend the budget differ by the step of a threshold: no reason to prefer one.
        """
        floor = self.context.settings.budgets[self._cost] * (1 if self.proposals.spends_all else FOCUS)
        return min(drift, HOPELESS), max(verdict.costs[self._cost], floor)

    def _ended(self, _: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state == TrialState.COMPLETE:
            self._announce(self._of_trial(trial))
            self.context.watcher.advance()

    def _of_trial(self, trial: FrozenTrial) -> TrialResult:
        found = self.context.folder.find("candidates", trial.user_attrs["policy"])
        if found is None:
            raise SearchError(
                f"{self.context.folder.path}: the record of trial {trial.number} is gone from candidates/; "
                "restore it or start a new run"
            )
        return self._result(trial.number, trial.user_attrs.get("label", ""), *found, trial.user_attrs["drift"])

    def _result(self, number: int, label: str, policy: Policy, evaluation: Evaluation, drift: float) -> TrialResult:
        verdict = self.judge.verdict(evaluation)
        return TrialResult(
            number=number,
            policy=policy,
            label=label,
            quality=evaluation.quality,
            difference=verdict.difference.value,
            costs=verdict.costs,
            feasible=verdict.feasible,
            on_front=False,
            seconds=evaluation.wall_seconds,
            repeats=next((one.number for one in self.results if one.policy.hash == policy.hash), None),
            drift=drift,
        )

    def _announce(self, result: TrialResult) -> None:
        self._keep(result)
        self.tracker.trial(self.results[-1])
        self.context.watcher.trial(self.results[-1], selection.best_quality(self.results, self._cost))

    def _keep(self, result: TrialResult) -> None:
        results = [*self.results, result]
        candidates = [one for one in results if one.feasible and one.repeats is None]
        places = selection.front([(one.difference, one.costs[self._cost]) for one in candidates])
        numbers = {candidates[place].number for place in places}
        self.results = [replace(one, on_front=one.number in numbers) for one in results]

    @property
    def _cost(self) -> str:
        return self.context.settings.main_cost
