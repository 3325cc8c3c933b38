"""The trials of a search: the known policies first, then what the sampler proposes, each judged once."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial

from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search import selection, study
from tuner.search.context import Context
from tuner.search.drift import HOPELESS, drift
from tuner.search.interrupt import CtrlC
from tuner.search.outcome import TrialResult
from tuner.search.proposal import Proposal, Proposals
from tuner.search.race import Race, is_hopeless
from tuner.search.recorded import FINISHED, finished, record_of, result, with_front
from tuner.search.samplers import ESTIMATE
from tuner.search.space import Params
from tuner.tracking import Tracker

log = logging.getLogger(__name__)


class Trials:
    """Runs trials and remembers their results, those of an earlier process included."""

    def __init__(self, context: Context, proposals: Proposals, opened: optuna.Study, tracker: Tracker) -> None:
        self.context, self.proposals, self.study, self.tracker = context, proposals, opened, tracker
        self.drafted, self.judge = proposals.drafted, proposals.judge
        self.race = Race(context.settings.finalists)
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
        for trial in finished(self.study):
            self._keep(*self._of_trial(trial))
            self.tracker.trial(self.results[-1])  # in case the process died before it could
        self.context.watcher.stage("trials", self.context.settings.trials)
        self.context.watcher.advance(len(self.results))
        left = self.context.settings.trials - len(self.results)
        try:
            with self._ctrl_c:
                for place, (label, policy) in enumerate(outside):
                    with self._ctrl_c.heard():
                        evaluation = self._judged(Proposal(policy), known=True)
                    self._announce(result(self.judge, -1 - place, label, policy, evaluation), evaluation)
                if left > 0:
                    timeout = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                    self.study.optimize(self._objective, n_trials=left, timeout=timeout, callbacks=[self._ended])
                with self._ctrl_c.heard():
                    pass  # pressed while the last trial was being written
        except KeyboardInterrupt:
            self.interrupted = True
            study.recover(self.study)
            log.warning(
                "interrupted: going on with the %d trials that are finished; --resume %s does the rest",
                len(self.results),
                self.context.folder.path.name,
            )
        return self.results

    def _known_policies(self) -> tuple[list[tuple[str, Params]], list[tuple[str, Policy]]]:
        """Baseline and presets: those that the space can express, as its parameters, and the others as they are.

        The sampler must not see trials without parameters, so the others are judged beside the study.
        """
        inside: list[tuple[str, Params]] = []
        outside: list[tuple[str, Policy]] = []
        for label, policy in self.context.known.items():
            params = self.proposals.known_params(policy)
            if params is None:
                outside.append((label, policy))
            else:
                inside.append((label, params))
        return inside, outside

    def _objective(self, trial: optuna.Trial) -> tuple[float, ...]:
        with self._ctrl_c.heard():
            study.claim(trial)
            known = self.context.known.get(trial.user_attrs.get("label", ""))
            proposal = self.proposals.draw(trial, known)
            evaluation = self._judged(proposal, known=known is not None)
        for name, excess in self.judge.constraints(evaluation).items():
            trial.set_constraint(name, excess)
        trial.set_user_attr("policy", proposal.policy.hash)
        cost = self.judge.costs(evaluation)[0][self._cost]
        values = self.context.objective.values(drift(evaluation, self.judge.baseline), cost)
        if not self._is_whole(evaluation):
            trial.set_user_attr(ESTIMATE, values)
            raise optuna.TrialPruned
        return values

    def _judged(self, proposal: Proposal, known: bool) -> Evaluation:
        """The evaluation of a policy, each once. It is decoded where its answers can matter: where it is `known` from
        the start, or keeps the budgets and is not hopeless."""
        policy, folder = proposal.policy, self.context.folder
        found = folder.find("candidates", policy.hash)
        if found is not None and (found[1].decoded or not known):
            return found[1]
        look = self.drafted.look(policy, proposal.begun, None if known else self._is_out)
        evaluation = look.evaluation
        if known or (
            self._is_whole(evaluation)
            and self.judge.verdict(evaluation).feasible
            and drift(evaluation, self.judge.baseline) < HOPELESS
        ):
            evaluation = self.drafted.decode(look)
        folder.save("candidates", policy, evaluation)
        return evaluation

    def _is_out(self, partial: Evaluation) -> bool:
        cost = self.judge.costs(partial)[0][self._cost]
        return is_hopeless(partial, self.judge.baseline) or self.race.is_out(partial, cost)

    def _ended(self, _: optuna.Study, trial: FrozenTrial) -> None:
        if trial.state in FINISHED:
            self._announce(*self._of_trial(trial))
            self.context.watcher.advance()

    def _of_trial(self, trial: FrozenTrial) -> tuple[TrialResult, Evaluation]:
        policy, evaluation = record_of(self.context.folder, trial)
        return result(self.judge, trial.number, trial.user_attrs.get("label", ""), policy, evaluation), evaluation

    def _announce(self, found: TrialResult, evaluation: Evaluation) -> None:
        self._keep(found, evaluation)
        self.tracker.trial(self.results[-1])
        leading = selection.finalists(self.results, self._cost, 1)
        self.context.watcher.trial(self.results[-1], leading[0] if leading else None)

    def _keep(self, found: TrialResult, evaluation: Evaluation) -> None:
        repeats = next((one.number for one in self.results if one.policy.hash == found.policy.hash), None)
        if found.feasible and repeats is None and self._is_whole(evaluation):
            self.race.finished(evaluation, found.costs[self._cost])
        self.results = with_front([*self.results, replace(found, repeats=repeats)], self._cost)

    def _is_whole(self, evaluation: Evaluation) -> bool:
        return len(evaluation.records) == len(self.judge.baseline.records)

    @property
    def _cost(self) -> str:
        return self.context.settings.main_cost
