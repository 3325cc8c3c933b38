"""A whole search: baseline, trials under the budget, re-validation, the chosen policy and everything written down."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import TrialState

from tuner import loading, tasks
from tuner.errors import BudgetError, SearchError
from tuner.evaluate.costing import Costing
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.policy import MergeSite, Policy
from tuner.report.write import write as write_report
from tuner.search import export, selection, study
from tuner.search.judge import Judge
from tuner.search.outcome import Judgement, Outcome, TrialResult
from tuner.search.presets import presets
from tuner.search.runfolder import RunFolder
from tuner.search.settings import Settings
from tuner.search.space import SearchSpace
from tuner.search.splits import Splits, load_splits
from tuner.search.watch import Watcher
from tuner.tracking import Tracker

log = logging.getLogger(__name__)

BASELINE = "baseline"


def search(settings: Settings, resume: Path | None = None, watcher: Watcher | None = None) -> Outcome:
    """Searches, re-validates, exports. Ctrl-C ends the trials early and goes on with what was found.

    Args:
        settings: what to search; for a resumed run it must agree with what the run was started with.
        resume: the folder of a run to continue.
        watcher: hears of progress.

    Raises:
        TunerError: anything the user can put right; what was finished until then is kept.
    """
    return Search(settings, resume, watcher or Watcher()).run()


class Search:
    """The steps of one search, in the order they are called."""

    def __init__(self, settings: Settings, resume: Path | None, watcher: Watcher) -> None:
        self.settings, self.watcher = settings, watcher
        self.began = time.monotonic()
        self.task = tasks.base.get(settings.task)
        self.space = SearchSpace.load(settings.space)
        self.loaded = loading.load(
            settings.model,
            settings.device,
            settings.dtype,
            settings.attn_implementation,
            settings.trust_remote_code,
        )
        self.layers = self.loaded.speech.num_layers
        self.splits: Splits = load_splits(settings, self.loaded)
        self.identity = self._policy(())
        self.fixed = {BASELINE: self.identity} | {
            name: self._policy(sites) for name, sites in presets(self.layers).items()
        }
        if resume is None:
            self.folder = RunFolder.create(settings.runs / settings.run_name(), settings.to_plain())
        else:
            self.folder = RunFolder.reopen(resume)
        self.evaluator = Evaluator(self.loaded, self.task, self.splits.search, settings.batch_size)
        self.interrupted = False

    def run(self) -> Outcome:
        """All steps; the tracker hears of the end whichever way it comes."""
        self.study = study.open_study(
            self.folder.study, self._identity(), self.settings.seed, self.settings.sampler, self.settings.trials
        )
        self.folder.note("environment", environment(self.loaded))
        tracker = self._open_tracker()
        status = "FAILED"
        try:
            self._judge_baseline()
            self._refuse_infeasible()
            self._trials(tracker)
            outcome = self._outcome(*self._validate())
            artifacts = write_report(outcome, self.folder.path / "report")
            tracker.finish(outcome, [*artifacts, *([outcome.policy_file] if outcome.policy_file else [])])
            status = "KILLED" if self.interrupted else "FINISHED"
            return outcome
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            tracker.close(status)

    # -- before the trials ------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, str]:
        """What a resumed run must share with the run it continues."""
        return {
            "model": f"{self.loaded.id} {self.identity.model.fingerprint}",
            "data": self.splits.digest,
            "space": self.space.fingerprint,
            "task": self.task.name,
            "budgets": ", ".join(f"{name}={value}" for name, value in self.settings.budgets.items()),
        }

    def _open_tracker(self) -> Tracker:
        tracker = Tracker.open(
            self.settings.runs,
            experiment=f"{self.loaded.short_name}-{self.task.name}",
            run_name=self.folder.path.name,
            params=self.settings.to_plain(),
            tags={"model": self.loaded.id, "run_folder": str(self.folder.path)},
            resume_run_id=self.folder.noted("tracking").get("run_id"),
        )
        if tracker.run_id is not None:
            self.folder.note("tracking", {"run_id": tracker.run_id})
        return tracker

    def _judge_baseline(self) -> None:
        self.watcher.stage("baseline", len(self.splits.search.utterances))
        baseline = self._evaluate("candidates", self.identity, self.evaluator)
        costing = Costing.of(self.loaded, self.evaluator.encoder_flops())
        self.judge = Judge(baseline, costing, self.settings.budgets)

    def _refuse_infeasible(self) -> None:
        """Fails before any trial when even the strongest policy of the space costs more than a budget."""
        strongest = self._policy(self.space.strongest(self.layers))
        self.watcher.stage("smallest cost", len(self.splits.search.utterances))
        _, bounds = self.judge.costs(self.evaluator.prefill(strongest, self.watcher.advance))
        for name, budget in self.settings.budgets.items():
            if bounds[name] > budget:
                raise BudgetError(
                    f"budget {name}={budget:g} is infeasible: the smallest ratio that search space "
                    f"{self.space.name!r} can reach on this speech is {bounds[name]:.3f}. Raise the budget, or use a "
                    "space with lower thresholds or earlier layers"
                )

    # -- trials -----------------------------------------------------------------------------------------------------

    def _trials(self, tracker: Tracker) -> None:
        study.recover(self.study)
        expressible, guests = [], []
        for label, policy in self.fixed.items():
            params = self.space.express(policy.sites, self.layers)
            if params is None and policy.is_identity:
                params = self.space.identity(self.layers)
            (guests.append(label) if params is None else expressible.append((label, params)))
        study.enqueue_fixed(self.study, expressible)
        self.results = self._finished()
        self.watcher.stage("trials", self.settings.trials)
        for _ in self.results:
            self.watcher.advance()
        for place, label in enumerate(guests):
            self._guest(-1 - place, label, tracker)
        left = self.settings.trials - sum(result.number >= 0 for result in self.results)
        if left > 0:
            self._optimize(left, tracker)

    def _guest(self, number: int, label: str, tracker: Tracker) -> None:
        """A fixed policy that the space does not hold: judged like a trial, unknown to the sampler."""
        policy = self.fixed[label]
        evaluation = self._evaluate("candidates", policy, self.evaluator)
        self._report(self._result(number, label, policy, evaluation), tracker)

    def _optimize(self, left: int, tracker: Tracker) -> None:
        def objective(trial: optuna.Trial) -> tuple[float, float]:
            study.claim(trial)
            policy = self._policy(self.space.draw(trial, self.layers))
            evaluation = self._evaluate("candidates", policy, self.evaluator)
            verdict = self.judge.verdict(evaluation)
            for name, budget in self.settings.budgets.items():
                trial.set_constraint(name, verdict.bounds[name] / budget - 1)
            trial.set_user_attr("policy", policy.hash)
            return verdict.difference.value, verdict.costs[self.settings.main_cost]

        def ended(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            if trial.state == TrialState.COMPLETE:
                self._report(self._of_trial(trial), tracker)
                self.watcher.advance()

        timeout = None
        if self.settings.timeout is not None:
            timeout = max(self.settings.timeout - (time.monotonic() - self.began), 0.0)
        try:
            self.study.optimize(objective, n_trials=left, timeout=timeout, callbacks=[ended])
        except KeyboardInterrupt:
            self.interrupted = True
            study.recover(self.study)
            log.warning("interrupted: going on with the %d trials that are finished", len(self.results))

    def _finished(self) -> list[TrialResult]:
        """The results of the trials that an earlier process finished."""
        self.results: list[TrialResult] = []
        for trial in self.study.get_trials(states=(TrialState.COMPLETE,)):
            self.results.append(self._of_trial(trial))
        return self.results

    def _of_trial(self, trial: optuna.trial.FrozenTrial) -> TrialResult:
        found = self.folder.find("candidates", trial.user_attrs["policy"])
        if found is None:
            raise SearchError(
                f"{self.folder.path}: the record of trial {trial.number} is gone; start a new run, or restore it"
            )
        label = trial.user_attrs.get("label", "")
        return self._result(trial.number, label, *found)

    def _result(self, number: int, label: str, policy: Policy, evaluation: Evaluation) -> TrialResult:
        verdict = self.judge.verdict(evaluation)
        earlier = next((result.number for result in self.results if result.policy.hash == policy.hash), None)
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
            repeats=earlier,
        )

    def _report(self, result: TrialResult, tracker: Tracker) -> None:
        self.results = self._with_front([*self.results, result])
        tracker.trial(self.results[-1])
        feasible = [one for one in self.results if one.feasible]
        best = min(feasible, key=lambda one: (one.difference, one.costs[self.settings.main_cost]), default=None)
        self.watcher.trial(self.results[-1], best)

    def _with_front(self, results: list[TrialResult]) -> list[TrialResult]:
        feasible = [result for result in results if result.feasible and result.repeats is None]
        points = [(result.difference, result.costs[self.settings.main_cost]) for result in feasible]
        numbers = {feasible[index].number for index in selection.front(points)}
        return [replace(result, on_front=result.number in numbers) for result in results]

    # -- after the trials -------------------------------------------------------------------------------------------

    def _validate(self) -> tuple[list[Judgement], Judgement | None]:
        """Judges the finalists on the selection split, chooses, and measures the choice once on the test split."""
        chosen_from = selection.finalists(self.results, self.settings.main_cost, self.settings.finalists)
        export.write_front(self.folder.path / "front", [one for one in self.results if one.on_front])
        if not chosen_from:
            log.warning("no trial met the budget; more trials (--resume, --trials) or another --space may")
            return [], None
        labels = {one.policy.hash: one.label or f"trial {one.number}" for one in chosen_from}
        policies = {one.policy.hash: one.policy for one in chosen_from}
        judgements = self._judge_on("selection", self.splits.selection, labels, policies)
        best = selection.choose(judgements, self.settings.main_cost)
        if best is None:
            log.warning("no finalist kept the budget on the selection split; search with a slightly lower budget")
            return judgements, None
        if self.splits.test is not None:
            fixed = {policy.hash: label for label, policy in self.fixed.items() if not policy.is_identity}
            tested = {best.policy.hash: best.policy} | {p.hash: p for p in self.fixed.values() if not p.is_identity}
            judgements += self._judge_on("test", self.splits.test, fixed | {best.policy.hash: best.label}, tested)
        return judgements, best

    def _judge_on(
        self, part: str, data: Any, labels: Mapping[str, str], policies: Mapping[str, Policy]
    ) -> list[Judgement]:
        evaluator = Evaluator(self.loaded, self.task, data, self.evaluator.batch_size)
        self.watcher.stage(f"re-judging on {data.split}", (len(policies) + 1) * len(data.utterances))
        baseline = self._evaluate(part, self.identity, evaluator)
        judge = Judge(baseline, Costing.of(self.loaded, evaluator.encoder_flops()), self.settings.budgets)
        judgements = [judge.judgement(BASELINE, self.identity, baseline)]
        for policy_hash, policy in policies.items():
            judgements.append(judge.judgement(labels[policy_hash], policy, self._evaluate(part, policy, evaluator)))
        return judgements

    def _outcome(self, judgements: list[Judgement], best: Judgement | None) -> Outcome:
        outcome = Outcome(
            run=self.folder.path,
            model=self.loaded.id,
            task=self.task.name,
            metric=self.task.metric,
            dataset=self.splits.search.name,
            budgets=self.settings.budgets,
            tolerance=self.settings.tolerance,
            trials=tuple(self.results),
            judgements=tuple(judgements),
            chosen=best.policy if best else None,
            policy_file=None,
            seconds=time.monotonic() - self.began,
            interrupted=self.interrupted,
            settings=self.settings.to_plain() | self.folder.noted("environment"),
        )
        return export.write_policy(outcome, self.settings) if best else outcome

    # -- shared -----------------------------------------------------------------------------------------------------

    def _policy(self, sites: tuple[MergeSite, ...]) -> Policy:
        return Policy.for_model(
            self.loaded.model,
            sites,
            model_id=self.loaded.id,
            name=self.settings.policy_name,
            task=self.task.name,
            position=self.space.position,
            min_audio_tokens=self.space.min_audio_tokens,
        )

    def _evaluate(self, part: str, policy: Policy, evaluator: Evaluator) -> Evaluation:
        """Each distinct policy once: what is already in the run folder is not run again."""
        found = self.folder.find(part, policy.hash)
        if found is not None:
            return found[1]
        watched = None if part == "candidates" and not policy.is_identity else self.watcher.advance
        evaluation = evaluator.evaluate(policy, watched)
        self.folder.save(part, policy, evaluation)
        return evaluation


def environment(loaded: loading.LoadedModel) -> dict[str, str]:
    """Versions and device, for the record."""
    packages = ("torch", "transformers", "optuna", "jiwer", "speech-token-tuner")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    device = torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else platform.processor()
    return {
        **versions,
        "python": platform.python_version(),
        "device": f"{loaded.device.type} {device}".strip(),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
    }
