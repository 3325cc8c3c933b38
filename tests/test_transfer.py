"""`tune transfer`: every policy everywhere, paired with the bare model, written down, and nothing run twice."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.spoken import manifest
from tests.test_judge import TokensCost
from tests.test_selection import policy
from tuner import MergeSite, Policy, loading
from tuner.cli import main
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.tasks.metric import ACCURACY, WER
from tuner.transfer.cells import Cell, Place, cells
from tuner.transfer.tables import markdown, matrices

SPEAKERS = ("anna", "anna", "ben", "ben", "ben", None)
DATA = UtteranceSet("made up", "test", tuple(Utterance(str(i), "x", who, 1.0, b"") for i, who in enumerate(SPEAKERS)))


def evaluation(right: str, tokens: int, metric: str = "accuracy") -> Evaluation:
    """Answers that are right where the string has a 1."""
    scores: list[tuple[float, ...]] = [(float(one), 1.0) for one in right]
    if metric == "wer":
        scores = [(1 - float(one), 1.0, 1 - float(one)) for one in right]
    records = [
        UtteranceRecord(str(i), 1.0, "x", score, (tokens,), (tokens,), 1, False) for i, score in enumerate(scores)
    ]
    return Evaluation("p", "test", tuple(records), 1.0, metric=WER if metric == "wer" else ACCURACY)


def made(task: str = "qa", condition: str = "as it is", right: str = "101011") -> list[Cell]:
    """One policy's cells, against a bare model that gets all but one right."""
    metric = "wer" if task == "asr" else "accuracy"
    found = {"mine": (policy(0.5), evaluation(right, 70, metric))}
    place = Place(task, metric, "made up", "test", condition)
    return list(cells(place, DATA, evaluation("111110", 100, metric), found, TokensCost()))


def test_cells_are_paired_by_utterance_and_told_by_speaker() -> None:
    found = {cell.place.speaker: cell for cell in made()}

    assert list(found) == [None, "anna", "ben"]
    assert [cell.judged.n for cell in found.values()] == [6, 2, 3]
    assert [cell.judged.difference for cell in found.values()] == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    assert all(cell.judged.costs["prefill_flops"] == 0.7 for cell in found.values())
    row = found[None].to_json()
    assert row["change"] == pytest.approx(-1 / 6), "in the metric's own direction"
    assert row["change_ci95"][0] < row["change"] < row["change_ci95"][1]
    assert (row["baseline"], row["value"]) == (pytest.approx(5 / 6), pytest.approx(4 / 6))


def test_matrices_have_policies_and_conditions_in_rows_and_tasks_in_columns() -> None:
    every = [*made(), *made("asr"), *made(condition="speed 0.9")]
    by_condition, by_speaker = matrices(every, speakers=1)

    assert by_condition.head == ("policy", "condition", "qa: accuracy", "asr: WER")
    assert [row[:2] for row in by_condition.rows] == [("mine (asr)", "as it is"), ("mine (asr)", "speed 0.9")]
    assert "-16.67" in by_condition.rows[0][2]
    assert "+16.67" in by_condition.rows[0][3]
    assert by_condition.rows[1][3] == "-"
    assert "n = 6!, 70.0%" in by_condition.rows[0][2]
    assert [row[1] for row in by_speaker.rows] == ["anna"]
    told = markdown(every, "tune transfer")
    assert "| mine (asr) | ben |" in told
    assert "come out too narrow" in told


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "no policy: give --policy"),
        (["--policy", "none.yaml"], "none.yaml"),
        (["--policy", "none.yaml", "--speeds", "fast"], "expected a list such as 0.9,1.1"),
        (["--policy", "none.yaml", "--speeds", "90"], "expected a factor such as 0.9 or 1.1"),
        (["--policy", "none.yaml", "--task", "asr,no"], "no task is called 'no'"),
    ],
)
def test_mistakes_are_named_in_one_line(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["transfer", *arguments])
    assert result.exit_code != 0
    assert problem in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_writes_everything_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loading.load("reference", device="cpu")
    for name, sites in {
        "gentle": (MergeSite(layer=0, threshold=0.95),),
        "harsh": (MergeSite(layer=0, threshold=0.6),),
    }.items():
        made = Policy.for_model(loaded.model, sites, model_id="reference", name=name)
        made.save(tmp_path / f"{name}.yaml")
    arguments = ["transfer", "--task", "asr,qa,translation", "--device", "cpu", "--runs", str(tmp_path / "runs")]
    arguments += ["--policy", str(tmp_path / "gentle.yaml"), "--policy", str(tmp_path / "harsh.yaml"), "--run", "there"]
    arguments += ["--dataset", str(manifest(tmp_path, count=3))]
    result = CliRunner().invoke(main, [*arguments, "--noise", "10"])
    assert result.exit_code == 0, result.output

    run = tmp_path / "runs" / "there"
    assert {"config.yaml", "transfer.json", "transfer.md", "transfer.png"} <= {path.name for path in run.iterdir()}
    found = json.loads((run / "transfer.json").read_text(encoding="utf-8"))["cells"]
    whole = [cell for cell in found if cell["speaker"] is None]
    assert len(whole) == 2 * 3 * 2, "policies, tasks, conditions"
    assert {cell["n"] for cell in whole if cell["task"] == "translation"} == {2}
    assert {cell["metric"] for cell in whole} == {"wer", "accuracy", "bleu"}
    assert all(math.isfinite(cell["change"]) for cell in whole)
    harsh = [cell["costs"]["prefill_flops"] for cell in whole if cell["policy"] == "harsh"]
    gentle = [cell["costs"]["prefill_flops"] for cell in whole if cell["policy"] == "gentle"]
    assert all(one < other for one, other in zip(harsh, gentle, strict=True))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was judged before")

    monkeypatch.setattr(Evaluator, "evaluate", never)
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0, again.output
    other = CliRunner().invoke(main, [*arguments, "--prompt", "Another instruction."])
    assert "one instruction for 3 tasks" in " ".join(other.output.split())
    moved = [part if part != "asr,qa,translation" else "asr" for part in arguments]
    other = CliRunner().invoke(main, [*moved, "--prompt", "Another instruction."])
    assert "was made for another prompt; choose another --run" in " ".join(other.output.split())
