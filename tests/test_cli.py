"""The command line: what it refuses and how it says so, and `tune apply`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tuner import MergeSite, Policy, loading
from tuner.cli import main
from tuner.data.sources import REFERENCE_MANIFEST

AUDIO = REFERENCE_MANIFEST.parent / "test" / "000.flac"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--model and --budget"),
        (["--model", "reference"], "--model and --budget"),
        (["--model", "reference", "--budget", "much"], "expected a ratio such as 0.7"),
        (["--model", "reference", "--budget", "1.2"], "at most 1"),
        (
            ["--model", "reference", "--budget", "0.7", "--space", "duall"],
            "shipped: dual, input, ladder, methods, triple",
        ),
        (["--model", "reference", "--budget", "0.7", "--split", "test"], "test split by its name"),
        (["--model", "reference", "--budget", "0.7", "--dataset", "./none.jsonl"], "none.jsonl"),
        (["--model", "reference", "--budget", "0.7", "--device", "abacus"], "try --device cpu"),
        (["--resume", "runs/none"], "holds no run"),
        (["search", "--model", "reference"], "a search has no command of its own"),
        (["--model", "./no-such-folder", "--budget", "0.7"], "cannot load model './no-such-folder'"),
        (["--model", "refrence", "--budget", "0.7"], "did you mean 'reference'"),
        (["apply", "--policy", "none.yaml", str(AUDIO)], "none.yaml"),
        (["bench", "--model", "reference"], "give --policy or --shape"),
        (["bench", "--shape", "0=0.5"], "give --model, or --random-weights and --config"),
        (["bench", "--config", "qwen2-audio-7b", "--shape", "0=0.5"], "go together"),
        (["bench", "--model", "reference", "--random-weights", "--config", "x", "--shape", "0=0.5"], "without --model"),
        (["bench", "--random-weights", "--config", "x", "--policy", "reference-asr-0.70"], "with --shape"),
        (["bench", "--random-weights", "--config", "abacus", "--shape", "0=0.5"], "one of qwen2-audio-7b"),
        (["bench", "--model", "reference", "--shape", "0:0.5"], "LAYER=RETENTION[:WINDOW]"),
        (["bench", "--model", "reference", "--shape", "0=0.5", "--seconds", "ten"], "such as 10,30,60"),
        (["bench", "--model", "reference", "--shape", "99=0.5", "--seconds", "1"], "layers 0 to 11"),
        (["bench", "--model", "reference", "--shape", "11@0.5", "--seconds", "1"], "merge earlier"),
        (["compare"], "no model"),
        (["compare", "--model", "reference", "--methods", "affinity,magic"], "method 'magic' is not known"),
        (["compare", "--model", "reference", "--budgets", "0.7,much"], "expected a list such as 0.7,0.5"),
        (["compare", "--model", "reference", "--budgets", "1.5"], "at most 1"),
        (["compare", "--model", "reference", "--trials", "0"], "at least 1"),
        (["compare", "--model", "reference", "--task", "asr,qa"], "one task at a time"),
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


def test_the_version_says_which_tune_this_is() -> None:
    assert "speech-token-tuner" in CliRunner().invoke(main, ["--version"]).output


def test_apply_shows_both_transcripts_and_tokens_by_layer(tmp_path: Path) -> None:
    loaded = loading.load("reference", device="cpu")
    sites = (MergeSite(layer=0, threshold=0.9), MergeSite(layer=6, threshold=0.7, window=3))
    Policy.for_model(loaded.model, sites, model_id="reference").save(tmp_path / "policy.yaml")
    result = CliRunner().invoke(
        main, ["apply", "--policy", str(tmp_path / "policy.yaml"), "--device", "cpu", str(AUDIO)]
    )
    assert result.exit_code == 0, result.output
    assert "without" in result.output
    assert "first token" in result.output
    assert "(0-5)" in result.output
    assert "(6-11)" in result.output


def test_apply_asks_a_question_where_the_task_does() -> None:
    arguments = ["apply", "--policy", "reference-qa-0.70", "--device", "cpu", "--question", "Which drink?", str(AUDIO)]
    asked = CliRunner().invoke(main, [*arguments, "--task", "qa"])
    assert asked.exit_code == 0, asked.output
    assert "answer" in asked.output
    not_asked = CliRunner().invoke(main, arguments)
    assert "task asr asks no question" in " ".join(not_asked.output.split())
