"""`tune probe` on the shipped model: what it writes, how it goes on, and a search that starts from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tuner.cli import main
from tuner.errors import SearchError
from tuner.search.settings import Settings

SMALL = ["probe", "--model", "reference", "--limit", "4", "--device", "cpu", "--layers", "0,5"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["probe"], "no model: give --model"),
        ([*SMALL, "--methods", "none"], "random-drop, uniform-drop, uniform-merge"),
        ([*SMALL, "--retentions", "half"], "expected a list such as 0.25,0.5"),
        ([*SMALL, "--retentions", "1.5"], "between 0 and 1"),
        ([*SMALL, "--layers", "3,99"], "no layer 99; it has layers 0 to"),
        (["--model", "reference", "--budget", "0.7", "--from-probe", "none"], "holds no probe.json"),
    ],
)
def test_mistakes_are_named_in_one_line(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert problem in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_probe_is_no_search_to_go_on_in() -> None:
    with pytest.raises(SearchError, match="the run map is no search"):
        Settings.resumed({"kind": "probe", "run": "map"}, {"trials": 5})


@pytest.mark.slow
def test_a_probe_writes_its_map_goes_on_where_it_was_and_narrows_a_search(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    runs, run = str(tmp_path / "runs"), tmp_path / "runs" / "map"
    arguments = [*SMALL, "--methods", "uniform-merge", "--runs", runs, "--run", "map"]
    first = CliRunner().invoke(main, [*arguments, "--retentions", "0.5"])
    assert first.exit_code == 0, first.output
    assert "4 of 4 utterances have no alignment" in " ".join(first.output.split()) or "alignments" in first.output
    written = {path.name for path in run.iterdir()}
    assert {"config.yaml", "probe.json", "probe.md", "quality.png", "similarity.png", "retention.png"} <= written
    assert {"groups.png", "interventions.jsonl", "environment.json"} <= written
    lines = (run / "interventions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["layer"] for line in lines] == [0, 5]

    # Interrupted while the second line was written; asked for one retention more.
    (run / "interventions.jsonl").write_text(f"{lines[0]}\n{lines[1][:50]}", encoding="utf-8")
    again = CliRunner().invoke(main, [*arguments, "--retentions", "0.5,0.25"])
    assert again.exit_code == 0, again.output
    relined = (run / "interventions.jsonl").read_text(encoding="utf-8").splitlines()
    assert relined[0] == lines[0]
    assert len(relined) == 4
    found = json.loads((run / "probe.json").read_text(encoding="utf-8"))
    assert [(one["layer"], one["retention"]) for one in found["effects"]] == [
        (0, 0.25),
        (0, 0.5),
        (5, 0.25),
        (5, 0.5),
    ]
    assert all(one["kept"] < 0.65 for one in found["effects"])

    logged = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (kept,) = logged.search_runs([one.experiment_id for one in logged.search_experiments() if "probe" in one.name])
    assert kept.info.status == "FINISHED"
    assert {"quality", "L0/uniform-merge/0.25", "L5/similarity/word"} <= kept.data.metrics.keys()
    assert {one.path for one in logged.list_artifacts(kept.info.run_id)} >= {"probe.json", "probe.md", "quality.png"}

    other = CliRunner().invoke(main, [*arguments, "--limit", "3"])
    assert "made for another data" in " ".join(other.output.split())

    search = ["--model", "reference", "--budget", "0.8", "--limit", "10", "--trials", "3", "--finalists", "1"]
    places = ["--runs", runs, "--policies", str(tmp_path / "policies"), "--device", "cpu", "--run", "narrow"]
    result = CliRunner().invoke(main, [*search, *places, "--from-probe", "map"])
    assert "from the probe map: asr on reference/search, 4 utterances" in " ".join(result.output.split())
    config = yaml.safe_load((tmp_path / "runs" / "narrow" / "config.yaml").read_text(encoding="utf-8"))
    assert config["from_probe"] == "map"
    assert config["narrowed"]["evidence"]
    # A resumed search goes on in the space that it began with, even where the probe is gone.
    (run / "probe.json").unlink()
    resumed = CliRunner().invoke(main, ["--resume", "narrow", "--runs", runs, "--trials", "4"])
    assert "cannot be resumed" not in resumed.output
    assert "holds no probe.json" not in resumed.output
