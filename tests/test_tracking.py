"""What the MLflow mirror records, and that nothing it meets can harm a search."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.test_report import finished
from tuner.errors import TunerError
from tuner.tracking import Tracker, mask, printable, ui

PARAMS = {"budget": {"prefill_flops": 0.7}, "argv": ["tune", "--hub-token", "abc"], "max_new_tokens": 40}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    # So that what the tracker sets does not outlive the test.
    monkeypatch.setattr(os, "environ", os.environ.copy())


def opened(runs: Path, resume: str | None = None) -> Tracker:
    return Tracker.open(runs, "tiny", "study", PARAMS, {"task": "asr"}, resume_run_id=resume)


def test_importing_it_does_not_import_mlflow() -> None:
    code = "import sys, tuner.tracking; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_study_is_mirrored_once_even_when_resumed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs, outcome = tmp_path / "with space" / "runs", finished()
    tracker = opened(runs)
    assert tracker.active
    for result in outcome.trials[:3]:
        tracker.trial(result)
    tracker.close("KILLED")
    tracker.trial(outcome.trials[3])  # after the end: ignored

    tracker = opened(runs, resume=tracker.run_id)
    for result in outcome.trials[2:]:  # number 2 is there already
        tracker.trial(replace(result, on_front=False, costs={**result.costs, "wer@x (%)": 1.0, "bad": float("nan")}))
    artifact = tmp_path / "report.md"
    artifact.write_text("# Report")
    tracker.finish(outcome, [tmp_path / "missing.csv", artifact])
    tracker.close("FINISHED")

    from mlflow import MlflowClient  # not before the tracker: it tells MLflow to be quiet

    client = MlflowClient(tracking_uri=tracker.uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "tiny"]
    by_name: dict[str, Any] = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    parent = by_name.pop("study")
    children = {int(run.data.tags["trial"]): run for run in by_name.values()}
    assert sorted(children) == [0, 1, 2, 3, 4, 5]
    assert {run.info.status for run in [parent, *children.values()]} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert [number for number, run in sorted(children.items()) if run.data.tags["on_front"] == "true"] == [2, 3]
    assert children[3].data.params["site1.layer"] == "2"
    assert children[3].data.metrics["prefill_flops"] == 0.45
    assert children[3].data.metrics["wer_x ___"] == 1.0
    assert "bad" not in children[3].data.metrics
    assert {run.data.tags["decoded"] for run in children.values()} == {"true"}
    assert "broken" not in children[3].data.metrics  # nobody said
    assert parent.data.tags["metric"] == "wer"
    assert parent.data.metrics["test/clamped"] == pytest.approx(0.043)
    assert parent.data.params["budget.prefill_flops"] == "0.7"
    assert parent.data.params["argv"] == "tune --hub-token ***"
    assert parent.data.metrics["test/difference_high"] == pytest.approx(0.009)
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["report.md"]
    assert sorted(path.name for path in runs.iterdir()) == ["artifacts", "mlflow.db"]
    assert "".join(capfd.readouterr()) == ""  # MLflow prints nothing


@pytest.mark.slow
def test_a_store_that_vanishes_is_warned_about_once_and_caught_up_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, outcome, broken = opened(tmp_path), finished(), True
    log_batch = tracker._client.log_batch

    def sometimes(*args: Any, **values: Any) -> None:
        if broken:
            raise ConnectionError("http://me:secret@server is down")
        log_batch(*args, **values)

    monkeypatch.setattr(tracker._client, "log_batch", sometimes)
    with caplog.at_level(logging.WARNING):
        for result in outcome.trials[:3]:
            tracker.trial(result)
    assert not tracker.active
    assert [record.message.count("secret") for record in caplog.records if record.name == "tuner.tracking"] == [0]

    broken = False
    tracker.finish(outcome, [])
    tracker.close("FINISHED")
    client = type(log_batch.__self__)(tracking_uri=tracker.uri)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert sorted(run.data.tags.get("trial", "parent") for run in runs) == ["0", "1", "2", "parent"]


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "never answers"])
def test_a_dead_server_costs_seconds_and_raises_nothing(
    hangs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import mlflow

    assert mlflow
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if hangs:
            server.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        tracker = opened(tmp_path / "runs")
        tracker.trial(finished().trials[0])
        tracker.finish(finished(), [])
        tracker.close("FAILED")

    assert time.monotonic() - start < 15
    assert (tracker.active, tracker.run_id, tracker.uri) == (False, None, "")
    assert "goes on without" in caplog.text
    assert "secret" not in "".join(record.message for record in caplog.records if record.name == "tuner.tracking")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tune --hub-token abc --budget 0.7", "tune --hub-token *** --budget 0.7"),
        ("tune --api-key='a b' x", "tune --api-key=*** x"),
        ("HF_TOKEN=abc tune", "HF_TOKEN=*** tune"),
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("https://host/x?token=abc&y=1", "https://host/x?token=***&y=1"),
        ("key hf_abcdefghijklmnopqrst", "key hf_***"),
        ("tune --max-new-tokens 40 --model a/b", "tune --max-new-tokens 40 --model a/b"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_settings_become_flat_text() -> None:
    assert printable({"a": {"b": 1, "password": "x"}, "c": ["tune", "two words"], "d": (0.5, 1)}) == {
        "a.b": "1",
        "a.password": "***",
        "c": "tune 'two words'",
        "d": "(0.5, 1)",
    }


def test_ui_refuses_a_taken_port_a_server_and_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TunerError, match="Tune first"):
        ui(tmp_path, 0)
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TunerError, match=rf"127.0.0.1:{port}: another program.*--port"):
            ui(tmp_path, port)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@server")
    with pytest.raises(TunerError, match=r"https://\*\*\*@server.*browser"):
        ui(tmp_path, 0)
