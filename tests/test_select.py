"""`tune select`: another choice from the records of a run, under other budgets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner
from optuna.trial import TrialState

from tests.tiny import tiny_model
from tuner.cli import main
from tuner.errors import BudgetError, SearchError
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.policy import MergeSite, Policy
from tuner.search import mirror, study
from tuner.search.context import Context
from tuner.search.drift import drift
from tuner.search.run import judge_baseline
from tuner.search.runfolder import RunFolder
from tuner.search.select import select
from tuner.search.settings import Settings
from tuner.search.watch import Watcher
from tuner.tracking import Tracker

# What the run judged, by the threshold of its only site, and how far it went with each.
WENT = {1.0: "decoded", 0.85: "undecoded", 0.75: "undecoded", 0.7: "given up", 0.65: "decoded"}
MADE_BEFORE = Policy.for_model(tiny_model()).model_copy(update={"made_by": {"run": "another run"}})
BUDGET, LOOSER = 0.64, 0.9  # the upper bound of 0.65's cost is 0.633, that of 0.85's 0.938; all others lie between


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unfinished run of four utterances: no search, but what one leaves."""
    runs = tmp_path_factory.mktemp("runs")
    budgets = {"prefill_flops": BUDGET}
    settings = Settings("reference", budgets, limit=4, trials=9, min_audio_tokens=0, device="cpu", run="old", runs=runs)
    context = Context(settings, None, Watcher())
    drafted = judge_baseline(context)
    opened = study.open_study(context.folder.study, context.identity(), context.objective, 0, "random", settings.trials)
    for threshold, went in WENT.items():
        policy = policy_of(context, threshold)
        look = drafted.look(policy)
        evaluation = drafted.decode(look) if went == "decoded" else look.evaluation
        if went == "given up":
            evaluation = replace(evaluation, records=evaluation.records[:3])
        context.folder.save("candidates", policy, evaluation)
        state = TrialState.PRUNED if went == "given up" else TrialState.COMPLETE
        values = None if went == "given up" else [0.0]
        opened.add_trial(optuna.create_trial(state=state, values=values, user_attrs={"policy": policy.hash}))
    (context.folder.path / "policy.yaml").write_text("the run's own")
    return context.folder.path


def policy_of(context: Context, threshold: float) -> Policy:
    return context.policy((MergeSite(layer=0, threshold=threshold),) if threshold < 1 else ())


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to select from, without MLflow."""
    monkeypatch.setattr(mirror, "_open", lambda _: Tracker())
    return Path(shutil.copytree(made, tmp_path / "old"))


def asked(run: Path, budget: float, **more: Any) -> Settings:
    given = {"budgets": {"prefill_flops": budget}, "policies": run.parent / "policies", "command": "tune select ..."}
    return Settings.resumed(RunFolder.reopen(run).config(), given | more)


def judgements(run: Path) -> dict[float, Evaluation]:
    """What is known of the candidates, by threshold."""
    folder = RunFolder(run)
    found = [folder.find("candidates", path.stem) for path in (run / "candidates").glob("*.json")]
    return {one[0].sites[0].threshold if one[0].sites else 1.0: one[1] for one in found if one is not None}


def decoded(run: Path) -> set[float]:
    """The thresholds of the candidates whose answers are known."""
    return {threshold for threshold, evaluation in judgements(run).items() if evaluation.decoded} - {1.0}


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_policy_that_more_speech_was_heard_for_stays(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard = {"splits": [{"split": "test", "n": 200}]}
    policy_file = run.parent / "policies" / "reference-asr-0.90.yaml"
    policy_file.parent.mkdir()
    MADE_BEFORE.model_copy(update={"measured": heard}).save(policy_file)
    before = policy_file.read_bytes()
    outcome = select(asked(run, LOOSER, finalists=2), run)
    assert "came from another run and 200 utterances" in caplog.text
    assert policy_file.read_bytes() == before
    assert outcome.policy_file == outcome.run / "policy.yaml"
    assert outcome.chosen is not None
    assert Policy.load(outcome.policy_file) == outcome.chosen


@pytest.mark.slow
def test_a_looser_budget_chooses_among_what_the_search_did_not_decode(
    run: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoded(run) == {0.65}
    before = files(run)
    policy_file = run.parent / "policies" / "reference-asr-0.90.yaml"
    policy_file.parent.mkdir()
    MADE_BEFORE.save(policy_file)
    outcome = select(asked(run, LOOSER, finalists=2), run)
    assert "reference-asr-0.90.yaml came from another run and is replaced" in caplog.text
    judged = judgements(run)
    allowed = sorted((0.75, 0.7, 0.65), key=lambda threshold: drift(judged[threshold], judged[1.0]))
    assert decoded(run) == {*allowed[:2], 0.65}, "the two that drift least of those allowed, and what was known"
    assert "5 of its 9 trials" in caplog.text
    assert "made to spend prefill_flops=0.64: a search for this budget may find better" in caplog.text
    assert outcome.interrupted

    assert outcome.policy_file == policy_file
    policy = Policy.load(policy_file)
    assert (policy.name, policy.task) == ("reference-asr-0.90", "asr")
    assert policy.sites[0].threshold in {0.75, 0.7, 0.65}
    assert policy.made_by["command"] == "tune select ..."
    assert policy.made_by["run"] == "old"
    assert {split["split"] for split in policy.measured["splits"]} == {"selection", "test"}

    place = Path("select") / policy.name
    made = {path for path in files(run) if path not in before}
    assert {place / "policy.yaml", place / "report" / "report.html"} <= made
    assert {path.parts[0] for path in made} == {"select", "selection", "test"}
    changed = {path for path in before if files(run)[path] != before[path]}
    assert {path.parts[0] for path in changed} <= {"candidates"}

    monkeypatch.setattr(Evaluator, "evaluate", lambda *_: pytest.fail("what the run holds is not run again"))
    again = select(asked(run, LOOSER, finalists=2), run)
    assert again.chosen is not None
    assert again.chosen.hash == policy.hash


def test_a_budget_that_no_trial_keeps_is_refused_with_what_there_is(run: Path) -> None:
    before = files(run)
    with pytest.raises(BudgetError, match=rf"the smallest ratios there are prefill_flops=0\.63\d.*--from {run}"):
        select(asked(run, 0.3), run)
    assert files(run) == before


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda run: alter(run, "data"), "made for another data: it has altered, now"),
        (lambda run: next(iter((run / "candidates").glob("*.json"))).write_text("{}"), "another version"),
        (lambda run: (run / "study.db").unlink(), "no finished trial to select from"),
        (lambda run: remove_candidates(run), "the record of trial 1 is gone"),
    ],
    ids=["data", "format", "no study", "records gone"],
)
def test_what_cannot_be_selected_from_is_refused(run: Path, break_it: Callable[[Path], Any], problem: str) -> None:
    break_it(run)
    with pytest.raises(SearchError, match=problem):
        select(asked(run, LOOSER), run)


def alter(run: Path, what: str) -> None:
    known = optuna.load_study(study_name=study.NAME, storage=RunFolder(run).study)
    known.set_user_attr("identity", known.user_attrs["identity"] | {what: "altered"})


def remove_candidates(run: Path) -> None:
    """All but the baseline's."""
    known = optuna.load_study(study_name=study.NAME, storage=RunFolder(run).study)
    for trial in known.trials[1:]:
        (run / "candidates" / f"{trial.user_attrs['policy']}.json").unlink()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--run", "none", "--budget", "0.7"], "holds no run"),
        (["--run", "none"], "Missing option '--budget'"),
        (["--run", "old", "--budget", "2"], "at most 1"),
        (["--run", "old", "--budget", "0.3"], "the smallest ratios there are"),
    ],
)
def test_the_command_names_mistakes_in_one_line(run: Path, arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(main, ["select", *arguments, "--runs", str(run.parent)])
    assert result.exit_code != 0
    assert problem in " ".join(result.output.split())
    assert "Traceback" not in result.output
