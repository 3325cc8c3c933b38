"""Studies of real trials, in which samplers compete. What was judged once is not judged again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.bench.course import Course, Judged
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.drift import drift
from tuner.search.proposal import Proposal
from tuner.search.race import Race, is_hopeless
from tuner.search.run import prepare
from tuner.search.samplers import ESTIMATE, make_sampler
from tuner.search.settings import Settings
from tuner.search.splits import load_splits
from tuner.search.watch import Watcher


class Memory:
    """What was judged; where a file is given, as lines of JSON in it, so that a contest can go on where it was."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.is_file() else []
        self._known: dict[str, Any] = dict(map(json.loads, lines))

    def once(self, key: str, judge: Callable[[], Any]) -> Any:
        """What is known under `key`; where nothing is, what `judge` says, plain data."""
        if key not in self._known:
            self._known[key] = judge()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]


class Ground:
    """Where studies run: model, speech, space and budget, with thresholds solved for it or not.

    Args:
        settings: of a search; its number of trials, sampler and seed do not count.
        memory: of what was judged before.
    """

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self.context = Context(settings, None, Watcher())
        self._memory, self._proposals = memory, prepare(self.context)
        self._judge, self._drafted = self._proposals.judge, self._proposals.drafted
        identity = json.dumps(self.context.identity(), sort_keys=True)
        self._name = hashlib.sha256(identity.encode()).hexdigest()[:16]

    def run(self, sampler: str, count: int, seed: int, raced: bool = False) -> Course:
        """A study of so many trials, all of them the sampler's: neither baseline nor presets are queued.

        Args:
            sampler: its name, as for `make_sampler`.
            raced: whether candidates are given up as in a search. What they seem worth then counts in this study alone.
        """
        key = f"{self._name} {sampler} {count} {seed}{' raced' if raced else ''}"
        return Course.from_json(self._memory.once(key, lambda: self._run(sampler, count, seed, raced).to_json()))

    def held_out(self, limit: int | None) -> Callable[[Policy], float]:
        """Tells of any policy the drift on the selection split, or on its first utterances."""
        data = load_splits(replace(self.context.settings, limit=limit), self.context.loaded).selection
        evaluator = self.context.evaluator_for(data, encode_once=True)
        identity = self.context.baseline
        drafted = Drafted(evaluator, identity, evaluator.evaluate(identity))

        def judge(policy: Policy) -> float:
            key = f"{self._name} {data.digest} {policy.hash}"
            found = self._memory.once(key, lambda: drift(drafted.look(policy).evaluation, drafted.baseline))
            return float(found)

        return judge

    def _run(self, sampler: str, count: int, seed: int, raced: bool) -> Course:
        settings, trials, asking = self.context.settings, [], 0.0
        directions = self.context.objective.directions
        study = optuna.create_study(directions=directions, sampler=make_sampler(sampler, count, seed))
        race, memory = (Race(settings.finalists), Memory()) if raced else (None, self._memory)
        for _ in range(count):
            began = time.perf_counter()
            trial = study.ask()
            self._suggest(trial)
            asking += time.perf_counter() - began
            one = self._remembered(trial, memory, race)
            for name, excess in one.excess.items():
                trial.set_constraint(name, excess)
            began = time.perf_counter()
            if one.heard == len(self._judge.baseline.records):
                study.tell(trial, self._values(one))
            else:
                trial.set_user_attr(ESTIMATE, self._values(one))
                study.tell(trial, state=TrialState.PRUNED)
            asking += time.perf_counter() - began
            trials.append(one)
        return Course(sampler, settings.solve, seed, raced, tuple(trials), asking)

    def _suggest(self, trial: optuna.Trial) -> None:
        """All that the sampler decides: `draw` finds it decided."""
        space, layers = self.context.space, self.context.layers
        space.suggest(trial, layers, space.solvable(layers) if self.context.settings.solve else ())

    def _remembered(self, trial: optuna.Trial, memory: Memory, race: Race | None) -> Judged:
        """Each choice is drawn once, and each policy judged once."""

        def draw() -> dict[str, Any]:
            began = time.perf_counter()
            proposal = self._proposals.draw(trial)
            key = f"{self._name} {proposal.policy.hash}"
            found: dict[str, Any] = memory.once(key, lambda: self._judged(proposal, began, race).to_json())
            return found

        key = f"{self._name} {json.dumps(trial.params, sort_keys=True)}"
        return Judged.from_json(memory.once(key, draw))

    def _judged(self, proposal: Proposal, began: float, race: Race | None) -> Judged:
        give_up = None if race is None else partial(self._is_out, race)
        evaluation = self._drafted.look(proposal.policy, proposal.begun, give_up).evaluation
        one = Judged(
            policy=proposal.policy,
            drift=drift(evaluation, self._judge.baseline),
            cost=self._cost(evaluation),
            excess=self._judge.constraints(evaluation),
            heard=len(evaluation.records),
            seconds=time.perf_counter() - began,
        )
        if race is not None and one.feasible and one.heard == len(self._judge.baseline.records):
            race.finished(evaluation, one.cost)
        return one

    def _is_out(self, race: Race, so_far: Evaluation) -> bool:
        return is_hopeless(so_far, self._judge.baseline) or race.is_out(so_far, self._cost(so_far))

    def _cost(self, evaluation: Evaluation) -> float:
        return self._judge.costs(evaluation)[0][self.context.settings.main_cost]

    def _values(self, one: Judged) -> tuple[float, ...]:
        """Drift and cost as a search shows them to its sampler."""
        return self.context.objective.values(one.drift, one.cost)
