"""The whole job on the shipped model: search, kill, resume, interrupt, export, load in production."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from tuner.cli import main
from tuner.errors import BudgetError, SearchError
from tuner.policy import Policy
from tuner.search.run import search
from tuner.search.settings import Settings

SMALL = ["--model", "reference", "--limit", "10", "--trials", "8", "--finalists", "3", "--device", "cpu"]


def arguments(folder: Path, *more: str, budget: str = "0.8") -> list[str]:
    places = ["--runs", str(folder / "runs"), "--policies", str(folder / "policies")]
    return [*SMALL, *places, "--budget", budget, *more]


def finished(run: Path) -> dict[int, tuple[dict[str, float], list[float]]]:
    """Parameters and values of the finished trials in a run's study."""
    storage = f"sqlite:///{run / 'study.db'}"
    trials = optuna.load_study(study_name="search", storage=storage).trials
    return {trial.number: (trial.params, trial.values) for trial in trials if trial.state.name == "COMPLETE"}


@pytest.mark.slow
def test_a_search_ends_with_a_policy_that_production_can_load(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, arguments(tmp_path, "--run", "whole"))
    assert result.exit_code == 0, result.output
    run, file = tmp_path / "runs" / "whole", tmp_path / "policies" / "reference-asr-0.80.yaml"
    policy = Policy.load(file)
    measured = {split["split"]: split for split in policy.measured["splits"]}
    assert set(measured) == {"selection", "test"}
    assert measured["selection"]["prefill_flops"] <= 0.8
    assert len(finished(run)) == 8
    assert {"front.png", "report.html", "report.md", "trials.csv"} <= {path.name for path in (run / "report").iterdir()}
    assert list((run / "front").glob("*.yaml"))

    record = json.loads((run / "test" / f"{policy.hash}.json").read_text())["evaluation"]["records"]
    said = {row["id"]: row["text"] for row in record}
    script = textwrap.dedent(f"""
        import json, sys, torch
        from tuner import loading, Policy
        loaded = loading.load("reference", device="cpu")
        Policy.load({str(file)!r}).apply(loaded.model)
        forbidden = [name for name in ("optuna", "mlflow") if name in sys.modules]

        from tuner.data.batches import prepare
        from tuner.data.sources import load
        from tuner.tasks.asr import TASK
        said, shorter = {{}}, []
        for one in load("reference", split="test", limit=10).utterances:
            inputs = prepare(loaded.processor, [one], TASK.prompt)
            prompt, longest = inputs["input_ids"].shape[1], TASK.max_new_tokens(one.seconds)
            with torch.inference_mode():
                out = loaded.model.generate(
                    **inputs, max_new_tokens=longest, do_sample=False, return_dict_in_generate=True
                )
            unmerged = out.sequences.shape[1] - 1
            audio = int((inputs["input_ids"] == loaded.speech.audio_token_id).sum())
            shortest = min(layer.keys.shape[-2] for layer in out.past_key_values.layers)
            shorter.append((audio, shortest < unmerged))
            (text,) = loaded.processor.batch_decode(out.sequences[:, prompt:], skip_special_tokens=True)
            said[one.id] = text.strip()
        print(json.dumps({{"said": said, "shorter": shorter, "forbidden": forbidden}}))
    """)
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    production = json.loads(told.stdout.splitlines()[-1])
    assert (production["said"], production["forbidden"]) == (said, [])
    assert all(shorter == (audio >= policy.min_audio_tokens) for audio, shorter in production["shorter"])
    assert any(shorter for _, shorter in production["shorter"])


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "killed"
    command = [sys.executable, "-m", "tuner", *arguments(tmp_path)]
    process = subprocess.Popen([*command, "--run", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while len(list(run.glob("candidates/*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = finished(run)
    assert before, "the search was killed before any trial was finished"
    assert len(before) < 8, "the search was finished before it was killed"

    resume = [sys.executable, "-m", "tuner", "--resume", str(run)]
    subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)
    after = finished(run)
    assert len(after) == 8
    assert {number: after[number] for number in before} == before
    sampled = [tuple(params.items()) for params, _ in after.values()]
    assert len(set(sampled)) == len(sampled), "start-up samples were repeated"
    assert (tmp_path / "policies" / "reference-asr-0.80.yaml").exists()

    refused = subprocess.run([*resume, "--budget", "0.5"], capture_output=True, text=True)
    assert refused.returncode != 0
    assert "made for another budgets" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_ctrl_c_ends_with_what_was_found(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "stopped"
    command = [
        sys.executable,
        "-m",
        "tuner",
        *arguments(tmp_path, "--run", "stopped", "--trials", "500", budget="0.95"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 100
    while len(list(run.glob("candidates/*.json"))) < 9 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "--resume stopped does the rest" in " ".join(output.split())
    assert 1 <= len(finished(run)) < 500
    assert (tmp_path / "policies" / "reference-asr-0.95.yaml").exists()


def test_an_infeasible_budget_fails_early_and_names_the_smallest_one(tmp_path: Path) -> None:
    settings = Settings("reference", {"prefill_flops": 0.02}, limit=4, run="tight", runs=tmp_path, device="cpu")
    with pytest.raises(BudgetError, match=r"smallest ratio .* is 0\.\d+"):
        search(settings)
    assert len(list((tmp_path / "tight" / "candidates").iterdir())) == 1  # the baseline alone was judged


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"budgets": {}}, "--budget 0.7"),
        ({"budgets": {"flops": 0.7}}, "prefill_flops"),
        ({"budgets": {"kv_cache": 1.7}}, "at most 1"),
        ({"budgets": {"kv_cache": 0.7}, "sampler": "magic"}, "expected one of auto"),
        ({"budgets": {"kv_cache": 0.7}, "trials": 0}, "at least 1"),
        ({"budgets": {"kv_cache": 0.7}, "search_split": "dev"}, "both"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(options: dict[str, object], problem: str) -> None:
    with pytest.raises(SearchError, match=problem):
        Settings("reference", **options)  # type: ignore[arg-type]
