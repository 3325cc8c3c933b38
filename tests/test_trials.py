"""Trials of a search: who is decoded, who is given up on the way, and what a resumed search knows of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import create_autospec

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tuner.search import study
from tuner.search.context import Context
from tuner.search.drift import HOPELESS
from tuner.search.objective import KNEE
from tuner.search.outcome import TrialResult
from tuner.search.race import RUNGS
from tuner.search.run import prepare, search
from tuner.search.runfolder import RunFolder
from tuner.search.samplers import ESTIMATE
from tuner.search.settings import Settings
from tuner.search.space import Params
from tuner.search.trials import Trials
from tuner.search.watch import Watcher
from tuner.tracking import Tracker

KNOWN = 3  # the baseline and two presets
HEARD, BUDGET = 32, 0.7
GOOD: Params = {"threshold.0": 1.02, "window.0": 1, "layer.1": 3, "window.1": 1, "position": "first"}
POOR: Params = {**GOOD, "layer.1": 8}  # so deep, a single site has to merge almost everything to save as much
AS_POOR: Params = {**POOR, "window.1": 3}


class Queueing(Watcher):
    """Queues parameters for the trials after those of that number."""

    def __init__(self, run: Path, after: Mapping[int, Params]) -> None:
        self._run, self._after = run, after

    def trial(self, result: TrialResult, best: TrialResult | None) -> None:
        if result.number in self._after:
            opened(self._run).enqueue_trial(self._after[result.number])


def opened(run: Path) -> optuna.Study:
    return optuna.load_study(study_name=study.NAME, storage=RunFolder(run).study)


def heard(run: Path, trial: FrozenTrial) -> tuple[int, bool]:
    """How many utterances the trial's policy heard, and whether its answers are known."""
    kept = RunFolder(run).find("candidates", trial.user_attrs["policy"])
    assert kept is not None
    return len(kept[1].records), kept[1].decoded


def settings(runs: Path, trials: int, budget: float, limit: int, solve: bool) -> Settings:
    return Settings(
        "reference",
        {"prefill_flops": budget},
        space="dual",
        limit=limit,
        trials=trials,
        solve=solve,
        finalists=1,
        sampler="random",
        min_audio_tokens=0,
        run="run",
        runs=runs,
        policies=runs / "policies",
        device="cpu",
    )


def trials_of(settings: Settings, watcher: Watcher) -> list[TrialResult]:
    """The first part of a search: nothing is judged again, nothing written but what trials write."""
    context = Context(settings, None, watcher)
    made = study.open_study(
        context.folder.study, context.identity(), context.objective, settings.seed, settings.sampler, settings.trials
    )
    return Trials(context, prepare(context), made, create_autospec(Tracker, instance=True)).run(None)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one place in the final, resumed for three more trials after a poor policy was given up."""
    runs = tmp_path_factory.mktemp("runs")
    run, trials = runs / "run", KNOWN + 2
    trials_of(settings(runs, trials, BUDGET, HEARD, solve=True), Queueing(run, {KNOWN - 1: GOOD, KNOWN: POOR}))
    opened(run).enqueue_trial(AS_POOR)
    opened(run).enqueue_trial(POOR)
    search(settings(runs, trials + 3, BUDGET, HEARD, solve=True), resume=run)
    return run


@pytest.mark.slow
def test_poor_policies_are_given_up_by_a_resumed_search_too(raced: Path) -> None:
    trials = opened(raced).trials
    complete, pruned = TrialState.COMPLETE, TrialState.PRUNED
    assert [trial.state for trial in trials[: KNOWN + 4]] == [*[complete] * (KNOWN + 1), pruned, pruned, pruned]
    assert len(trials) == KNOWN + 5
    assert [heard(raced, trial) for trial in trials[: KNOWN + 1]] == [(HEARD, True)] * (KNOWN + 1)
    for trial in trials[KNOWN + 1 : KNOWN + 4]:
        assert heard(raced, trial) in [(HEARD * rung, False) for rung in RUNGS]
        assert trial.user_attrs[ESTIMATE] == [math.asinh(HOPELESS / KNEE)]
        assert trial.constraints["prefill_flops"] == pytest.approx(0, abs=0.05)  # it spends its budget like the others
    first, _, again = trials[KNOWN + 1 : KNOWN + 4]
    assert again.user_attrs["policy"] == first.user_attrs["policy"]


@pytest.mark.slow
def test_the_report_and_mlflow_show_who_was_given_up(raced: Path) -> None:
    with (raced / "report" / "trials.csv").open(encoding="utf-8") as file:
        rows = {int(row["number"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == list(range(KNOWN + 5))
    given_up = range(KNOWN + 1, KNOWN + 4)
    assert [rows[number]["decoded"] for number in range(KNOWN + 4)] == [*["true"] * (KNOWN + 1), *["false"] * 3]
    assert all(rows[number]["quality"] == "" and float(rows[number]["drift"]) > HOPELESS for number in given_up)
    assert rows[KNOWN + 3]["repeats"] == str(KNOWN + 1)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{raced.parent / 'mlflow.db'}")
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    decoded = {int(run.data.tags["trial"]): run.data.tags["decoded"] for run in found if "trial" in run.data.tags}
    assert decoded == {number: row["decoded"] for number, row in rows.items()}


@pytest.mark.slow
def test_what_breaks_the_budget_is_never_decoded(tmp_path: Path) -> None:
    """But for the known policies, which every report shows."""
    asked = settings(tmp_path, KNOWN + 9, 0.5, limit=6, solve=False)
    results = trials_of(asked, Watcher())
    assert [one.decoded for one in results[:KNOWN]] == [True] * KNOWN
    assert not any(one.feasible for one in results[:KNOWN])
    drawn = results[KNOWN:]
    assert any(not one.feasible for one in drawn)
    assert [one.decoded for one in drawn] == [one.feasible and one.drift < HOPELESS for one in drawn]
    run = tmp_path / "run"
    for trial, result in zip(opened(run).trials, results, strict=True):
        assert trial.state == TrialState.COMPLETE
        assert (max(trial.constraints.values()) <= 0) == result.feasible
        assert heard(run, trial) == (6, result.decoded)
