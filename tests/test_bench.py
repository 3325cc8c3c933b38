"""The benchmark: shapes become thresholds, sides take turns, and what was found is kept whole. No speed is judged."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from transformers import AutoConfig

from tests.tiny import tiny_model
from tuner import loading
from tuner.bench import inputs, tables
from tuner.bench.build import build
from tuner.bench.calibrate import threshold_for
from tuner.bench.command import bench
from tuner.bench.configs import KNOWN
from tuner.bench.counting import Counts, count
from tuner.bench.families import HEARING
from tuner.bench.prefill import Inputs
from tuner.bench.results import Bench, Length
from tuner.bench.run import Plan, run
from tuner.bench.shapes import Shape, ShapeSite
from tuner.costs.measure import alternate
from tuner.costs.memory import cache_bytes, peak_of
from tuner.errors import PolicyError
from tuner.evaluate.costing import Costing
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.runtime.affinity import joins, similarities
from tuner.runtime.models import describe
from tuner.runtime.prompt import Tokens

SHAPES = ("0=0.8,2=0.5:3", "0,2@0.8")
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "head_dim": 16,
}
WHISPER = {"num_mel_bins": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
TINY: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # name: like which checkpoint, audio, text
    "qwen2_audio": (
        "qwen2-audio-7b",
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "num_mel_bins": 16},
        TEXT,
    ),
    "voxtral": ("voxtral-mini", {**WHISPER, "intermediate_size": 128}, TEXT),
    "audioflamingo3": ("audio-flamingo-3", {**WHISPER, "intermediate_size": 64}, TEXT),
    "qwen3_asr": (
        "qwen3-asr-0.6b",
        {
            **{"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
            **{"num_mel_bins": 16, "output_dim": 64, "downsample_hidden_size": 8},
        },
        TEXT,
    ),
}

BILLIONS = {  # parameters; Qwen3-ASR's head is that of its embeddings and counted once
    "qwen2-audio-7b": 8.4,
    "voxtral-mini": 4.68,
    "voxtral-small": 24.3,
    "qwen3-asr-0.6b": 0.78,
    "qwen3-asr-1.7b": 2.04,
    "audio-flamingo-3": 8.27,
}


def config_file(folder: Path, family: str) -> str:
    """The config.json of a known checkpoint, shrunk: windows of two seconds where they are thirty."""
    like, audio, text = TINY[family]
    fields = dict(KNOWN[like].fields) | {"architectures": [KNOWN[like].architecture]}
    ids = {name: 24 for name in fields if name.startswith("audio_token")}
    small = {**fields["audio_config"], **audio}
    if "max_source_positions" in small:
        small["max_source_positions"] = 100
    path = folder / "config.json"
    path.write_text(
        json.dumps({**fields, **ids, "audio_config": small, "text_config": {**fields["text_config"], **text}})
    )
    return str(path)


@pytest.mark.parametrize(
    ("text", "sites", "ratio"),
    [
        ("0=0.8", (ShapeSite(0, 0.8),), None),
        ("0=0.8,29=0.5", (ShapeSite(0, 0.8), ShapeSite(29, 0.5)), None),
        ("0=1, 29=.5:3", (ShapeSite(0, 1.0), ShapeSite(29, 0.5, 3)), None),
        ("0,10@0.7", (ShapeSite(0), ShapeSite(10)), 0.7),
    ],
)
def test_a_shape_says_where_and_how_much(text: str, sites: tuple[ShapeSite, ...], ratio: float | None) -> None:
    assert Shape.parse(text) == Shape(text, sites, ratio)
    text += "+proportional"
    assert Shape.parse(text) == Shape(text, sites, ratio, proportional=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "LAYER=RETENTION"),
        ("0", "LAYER=RETENTION"),
        ("0=0.8,x=0.5", "LAYER=RETENTION"),
        ("0=0.8@0.7", "LAYER=RETENTION"),
        ("0=0.8+", "proportional behind either"),
        ("0=0.8+x", "proportional behind either"),
        ("0=0.8:0", "a window is at least 1"),
        ("0=0", "above 0 and at most at 1"),
        ("0,4@1.5", "above 0 and at most at 1"),
        ("4=0.5,0=0.5", "must increase"),
    ],
)
def test_what_is_no_shape_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        Shape.parse(text)


def _frames(rows: int, tokens: int, width: int = 8) -> Tensor:
    """Slowly moving noise, [rows, tokens, width]."""
    return torch.randn(rows, tokens, width, generator=torch.Generator().manual_seed(1)).cumsum(1)


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("retention", [0.2, 0.5, 0.83, 1.0])
def test_a_threshold_keeps_what_is_asked_for(window: int, retention: float) -> None:
    hidden = _frames(2, 120)
    audio = torch.ones(2, 120, dtype=torch.bool)
    audio[0, :30] = audio[:, -4:] = False
    threshold = threshold_for(similarities(hidden, window), Tokens(torch.ones_like(audio), audio, audio), retention)
    kept = int(audio.sum()) - int(joins(hidden, audio, threshold, window).sum())
    assert kept == pytest.approx(retention * int(audio.sum()), abs=1)


def test_sides_take_turns_after_warming_up() -> None:
    heard: list[str] = []

    def side(name: str) -> int:
        heard.append(name)
        return len(heard)

    found = alternate([lambda: side("a"), lambda: side("b")], repeats=2, warm_up=1)
    assert "".join(heard) == "ababab"
    assert found == [[3, 5], [4, 6]]


def test_memory_is_that_of_the_call() -> None:
    peak = peak_of(lambda: torch.ones(50_000_000), torch.device("cpu"))
    if peak is not None:  # there is a kernel that counts
        assert 190e6 < peak.dynamic < peak.total


@pytest.mark.parametrize("family", HEARING)
def test_a_config_alone_is_enough(family: str, tmp_path: Path) -> None:
    loaded = build(config_file(tmp_path, family), device="cpu")
    assert all(bool(tensor.isfinite().all()) for tensor in loaded.model.state_dict().values())
    shapes = [Shape.parse(text) for text in SHAPES]
    longest = HEARING[family].longest(loaded.model.config.audio_config)
    plan = Plan((1.9, longest + 1), new_tokens=3, repeats=2, batch_size=2)
    asked: list[int] = []
    one, other = run(loaded, inputs.noise(loaded), shapes, plan, lambda _, calls: asked.append(calls))
    assert sum(asked) == 2 * plan.passes(1 + len(shapes))
    assert "hears only" in other.left_out
    assert not other.rows

    baseline, shaped, budgeted = one.rows
    assert baseline.counts is not None
    assert baseline.counts.prefill_flops == baseline.counts.prefill_flops_formula
    assert baseline.counts.kv_bytes == baseline.counts.kv_bytes_formula
    entering = sum(lengths[0] for lengths in baseline.counts.audio_tokens)
    assert shaped.retention == pytest.approx((0.8, 0.5), abs=1.5 / (0.8 * entering))
    assert shaped.sites[1].window == 3
    assert budgeted.counts is not None
    assert baseline.counts.prefill_flops_formula is not None
    assert budgeted.counts.prefill_flops_formula == pytest.approx(0.8 * baseline.counts.prefill_flops_formula, rel=0.03)
    assert all(len(row.passes) == plan.repeats for row in one.rows)


@pytest.mark.parametrize("name", KNOWN)
def test_known_configs_are_as_large_as_the_checkpoints(name: str) -> None:
    known = KNOWN[name]
    config = AutoConfig.for_model(**known.fields, architectures=[known.architecture])
    with torch.device("meta"):
        model = loading.model_class(config, trust_remote_code=False)._from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e9 == pytest.approx(BILLIONS[name], rel=0.01)
    assert describe(model).num_layers == known.fields["text_config"]["num_hidden_layers"]


@pytest.fixture(scope="module")
def reference() -> LoadedModel:
    return loading.load("reference", device="cpu")


def test_speech_is_as_long_as_asked_for(reference: LoadedModel) -> None:
    make = inputs.speech(reference)
    short, long = make(2.0, 2), make(4.0, 1)
    frames = [int(one["feature_attention_mask"][0].sum()) for one in (short, long)]
    assert frames == [200, 400]
    assert not torch.equal(short["input_features"][0], short["input_features"][1])


def test_memory_that_runs_out_costs_one_row(reference: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def small_device(loaded: LoadedModel, policy: Policy, prompt: Inputs, costing: Costing | None) -> Counts:
        if policy.is_identity and prompt["input_ids"].shape[1] > 70:
            raise torch.OutOfMemoryError("no more memory")
        return count(loaded, policy, prompt, costing)

    monkeypatch.setattr("tuner.bench.run.count", small_device)
    sides = [Policy.load("reference-asr-0.70")]
    short, long = run(reference, inputs.speech(reference), sides, Plan((1.0, 4.0), new_tokens=2, repeats=1))
    assert [bool(row.passes) for row in short.rows] == [True, True]
    assert [bool(row.passes) for row in long.rows] == [False, True]
    assert long.rows[0].problem == "out of memory"
    assert long.ratios(long.rows[1]) is None


def test_the_command_keeps_everything_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--model", "reference", "--policy", "reference-asr-0.70", "--shape", "0=0.7", "--device", "cpu"]
    arguments += ["--seconds", "2,4,11", "--new-tokens", "3", "--repeats", "2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["tune", "bench", *arguments])
    result = CliRunner().invoke(bench, arguments, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    assert "11 s left out" in result.output
    assert "…" not in result.output  # nothing was cut off
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "| 4 s | reference-asr-0.70 |" in (tmp_path / "out" / "bench.md").read_text()

    kept = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert {"torch", "transformers", "python", "device", "threads", "dtype", "attention"} <= kept["environment"].keys()
    assert kept["settings"]["command"] == shlex.join(["tune", "bench", *arguments])
    assert [length["seconds"] for length in kept["lengths"]] == [2, 4, 11]
    for length in kept["lengths"][:2]:
        assert [row["side"] for row in length["rows"]] == ["baseline", "reference-asr-0.70", "0=0.7"]
        for row in length["rows"]:
            assert len(row["passes"]) == 2
            assert all(0 < one["encoder"] + one["prefill"] < one["first_token"] for one in row["passes"])
            assert len(row["retention"]) == len(row["sites"])
            assert len(row["merge_seconds"]) == (2 if row["sites"] else 0)
        baseline, policy, _ = length["rows"]
        assert policy["ratios"]["prefill_flops"] < 0.9
        assert policy["ratios"]["kv_bytes"] == pytest.approx(
            policy["counts"]["kv_bytes_formula"] / baseline["counts"]["kv_bytes_formula"]
        )


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*arguments: Any) -> Any:
        found = run(*arguments)
        yield next(found)
        raise KeyboardInterrupt

    monkeypatch.setattr("tuner.bench.run.run", pressed)
    arguments = ["--model", "reference", "--shape", "0=0.7", "--device", "cpu", "--seconds", "2,4"]
    arguments += ["--new-tokens", "2", "--repeats", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(bench, arguments)
    assert result.exit_code == 0, result.output
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["interrupted"]
    assert len(kept["lengths"]) == 1


def test_a_cache_holds_its_keys_and_values() -> None:
    model = tiny_model()
    cache = model(input_ids=torch.ones(2, 7, dtype=torch.long), use_cache=True).past_key_values
    assert cache_bytes(cache) == 2 * 7 * 4 * 2 * (2 * 8) * 4  # batch, tokens, layers, K and V, heads x size, bytes


def test_tables_say_what_is_missing() -> None:
    facts = dict.fromkeys(("device", "threads", "dtype", "attention", "torch", "transformers", "python"), "x")
    settings = {"command": "tune bench", "repeats": 1, "batch_size": 1, "new_tokens": 1}
    found = Bench("m", settings, facts, (Length(90.0, left_out="too long"),))
    assert "90 s left out: too long" in tables.markdown(found)
    assert "Interrupted" in tables.markdown(replace(found, interrupted=True))
