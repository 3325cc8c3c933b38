"""A policy file is short, strict, round-trips, and fits one checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.tiny import tiny_model
from tuner import MergeSite, Policy
from tuner.errors import ModelError, PolicyError

SITE = "{layer: 0, threshold: 0.86, window: 1}"
SITES = [MergeSite(layer=0, threshold=0.86), MergeSite(layer=3, threshold=0.55, window=3)]

FILE = """\
schema: 1
name: tiny-asr-0.70
model: {id: tiny, architecture: Qwen2Audio, layers: 4, hidden_size: 32, fingerprint: 0a-1b}
task: asr
sites:
- {layer: 0, threshold: 0.86, window: 1}
- {layer: 3, threshold: 0.55, window: 3}
position: middle
min_audio_tokens: 40
measured:
  quality: {}
"""


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


def _written(folder: Path, content: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_file_round_trips_to_the_letter(tmp_path: Path) -> None:
    policy = Policy.load(_written(tmp_path, FILE))
    assert policy.sites == tuple(SITES)
    assert (policy.position, policy.min_audio_tokens) == ("middle", 40)
    policy.save(tmp_path / "new" / "copy.yaml")
    assert (tmp_path / "new" / "copy.yaml").read_text(encoding="utf-8") == FILE


def test_what_is_measured_round_trips(tmp_path: Path, model: Any) -> None:
    policy = Policy.for_model(model, SITES, name="Über", model_id="org/tiny")
    measured = {"wer": {"policy": 0.031, "ci95": [0.02, 0.041]}, "dataset": "a: b #c", "n": 100}
    policy = policy.model_copy(update={"measured": measured, "made_by": {"seed": 0}})
    policy.save(tmp_path / "policy.yaml")
    assert Policy.load(tmp_path / "policy.yaml") == policy


@pytest.mark.parametrize(
    ("old", "new", "complaints"),
    [
        ("threshold: 0.86", "treshold: 0.86", ["'sites.0.treshold'", "did you mean 'threshold'?"]),
        ("task:", "colour: red\ntask:", ["'colour'", "Known keys: schema, name,"]),
        ("layers: 4", "layer: 4", ["'model.layer'", "did you mean 'layers'?"]),
        ("schema: 1", "schema: 2", ["schema 2", "reads 1", "Upgrade"]),
        ("schema: 1\n", "", ["starts with 'schema: 1'"]),
        ("threshold: 0.86", "threshold: 1.2", ["sites.0.threshold", "less than or equal to 1", "got 1.2"]),
        ("threshold: 0.86", "threshold: .nan", ["sites.0.threshold", "got nan"]),
        ("threshold: 0.86", "threshold: '0.86'", ["sites.0.threshold", "valid number", "got '0.86'"]),
        ("window: 3", "window: 0", ["sites.1.window", "greater than or equal to 1", "got 0"]),
        ("window: 3", "window: 3.0", ["sites.1.window", "valid integer", "got 3.0"]),
        ("layer: 3", "layer: 0", ["must increase", "[0, 0]"]),
        ("layer: 3", "layer: 4", ["layer 4", "layers 0 to 3"]),
        ("position: middle", "position: centre", ["position", "'first', 'middle' or 'last'", "got 'centre'"]),
        ("min_audio_tokens: 40", "min_audio_tokens: -1", ["min_audio_tokens", "got -1"]),
        ("name: tiny-asr-0.70\n", "", ["'name' is missing"]),
        ("sites:", "sites: [", ["not a YAML file"]),
        (FILE, "- 1\n", ["not a policy"]),
    ],
)
def test_a_wrong_file_is_refused_with_what_where_and_what_to_do(
    tmp_path: Path, old: str, new: str, complaints: list[str]
) -> None:
    assert old in FILE
    path = _written(tmp_path, FILE.replace(old, new))
    with pytest.raises(PolicyError) as refusal:
        Policy.load(path)
    for complaint in [str(path), *complaints]:
        assert complaint in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"cannot read policy .*nowhere.yaml: No such file"):
        Policy.load(tmp_path / "nowhere.yaml")


def test_a_save_that_fails_keeps_the_old_file(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path, FILE)

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        Policy.for_model(model, SITES).save(path)
    assert path.read_text(encoding="utf-8") == FILE
    assert [file.name for file in tmp_path.iterdir()] == ["policy.yaml"]


def test_the_hash_covers_what_changes_behaviour_and_nothing_else(model: Any) -> None:
    policy = Policy.for_model(model, SITES)
    assert policy.hash == "2b45c7b3889316d1", "it names results on disk: it must never change"
    assert Policy.for_model(model, SITES, name="other", task="qa", model_id="other").hash == policy.hash
    other = [
        Policy.for_model(model, SITES[:1]),
        Policy.for_model(model, [SITES[0], MergeSite(layer=3, threshold=0.55)]),
        Policy.for_model(model, SITES, position="last"),
        Policy.for_model(model, SITES, min_audio_tokens=1),
        Policy.for_model(model, SITES, proportional=True),
        Policy.for_model(model, SITES, size_weighted=True),
        Policy.for_model(model),
    ]
    assert len({policy.hash, *(each.hash for each in other)}) == 8
    assert Policy.for_model(model, position="last").hash == Policy.for_model(model).hash, (
        "nothing merged, no difference"
    )


def test_for_model_fills_in_the_model(model: Any) -> None:
    policy = Policy.for_model(model, SITES, model_id="org/tiny")
    assert policy.name == "tiny-asr"
    assert policy.model.id == "org/tiny"
    assert (policy.model.layers, policy.model.hidden_size) == (4, 32)
    assert not policy.is_identity
    assert Policy.for_model(model).is_identity
    policy.check(model)


def test_sites_that_do_not_fit_are_refused(model: Any) -> None:
    with pytest.raises(PolicyError, match="layers 0 to 3"):
        Policy.for_model(model, [MergeSite(layer=4, threshold=0.9)])
    with pytest.raises(PolicyError, match="must increase"):
        Policy.for_model(model, SITES[::-1])
    with pytest.raises(ValidationError):
        MergeSite(layer=0, threshold=1.01)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda: tiny_model(num_hidden_layers=5), "has layers 4; this model has 5"),
        (lambda: tiny_model(hidden_size=64), "has hidden_size 32; this model has 64"),
        (lambda: tiny_model(seed=1), "another checkpoint"),
    ],
)
def test_another_model_is_refused(model: Any, other: Any, reason: str) -> None:
    policy, wrong = Policy.for_model(model, SITES), other()
    with pytest.raises(PolicyError, match=reason):
        policy.apply(wrong)
    Policy.for_model(wrong, policy.sites).apply(wrong).remove()


def test_what_is_no_speech_model_is_refused(model: Any) -> None:
    with pytest.raises(ModelError):
        Policy.for_model(model, SITES).apply(model.model)


METHOD_SITES = [
    "{layer: 0, method: quantile, ratio: 0.7, window: 3}",
    "{layer: 0, method: uniform, ratio: 0.5}",
    "{layer: 0, method: stride, ratio: 0.5}",
    "{layer: 0, method: interpolate, ratio: 0.8}",
    "{layer: 0, method: random, ratio: 0.5, seed: 7}",
    "{layer: 0, method: norm, ratio: 0.5}",
    "{layer: 0, method: atome, threshold: 0.9}",
    "{layer: 0, method: atome, ratio: 0.6}",
    "{layer: 0, method: fastadasp, ratio: 0.6}",
    "{layer: 0, method: samap, ratio: 0.6, threshold: 0.8}",
]


@pytest.mark.parametrize("site", METHOD_SITES)
def test_sites_of_every_method_round_trip_and_have_a_hash_of_their_own(tmp_path: Path, site: str) -> None:
    content = FILE.replace(SITE, site)
    policy = Policy.load(_written(tmp_path, content))
    policy.save(tmp_path / "copy.yaml")
    assert (tmp_path / "copy.yaml").read_text(encoding="utf-8") == content
    assert Policy.model_validate(policy.model_dump(mode="json", by_alias=True)) == policy
    others = {Policy.load(_written(tmp_path, FILE.replace(SITE, other))).hash for other in [SITE, *METHOD_SITES]}
    assert len(others) == 1 + len(METHOD_SITES)


def test_the_hash_of_affinity_policies_is_what_it_was(tmp_path: Path) -> None:
    """Results are kept by it."""
    policy = Policy.load(_written(tmp_path, FILE))
    assert policy.hash == "de9fdf874a18e8f6"
    for rule in ("size_weighted", "proportional"):
        counting = Policy.load(_written(tmp_path, FILE.replace("measured:", f"{rule}: true\nmeasured:")))
        assert getattr(counting, rule)
        assert counting.hash != policy.hash


@pytest.mark.parametrize(
    ("site", "complaint"),
    [
        ("{layer: 0, method: averaging, ratio: 0.5}", "no method 'averaging'; known: affinity, quantile,"),
        ("{layer: 0, method: uniform}", "'uniform' needs 'ratio'"),
        ("{layer: 0, window: 3}", "'affinity' needs 'threshold'"),
        ("{layer: 0, method: uniform, ratio: 0.5, window: 3}", "'uniform' has no setting 'window'; it has ratio"),
        ("{layer: 0, threshold: 0.8, ratio: 0.5}", "'affinity' has no setting 'ratio'; it has threshold, window"),
        ("{layer: 0, method: atome, ratio: 0.5, threshold: 0.8}", "either 'threshold' or 'ratio'"),
        ("{layer: 0, method: uniform, ratio: 0}", "sites.0.ratio: Input should be greater than 0"),
    ],
)
def test_a_setting_that_is_not_the_methods_is_refused(tmp_path: Path, site: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        Policy.load(_written(tmp_path, FILE.replace(SITE, site)))
