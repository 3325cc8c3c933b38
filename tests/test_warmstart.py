"""What a search starts from: policies of files and runs, by label, once each, and checked before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_model
from tuner import loading
from tuner.errors import TunerError
from tuner.policy import MergeSite, Policy
from tuner.search import mirror, run, warmstart
from tuner.search.context import Context
from tuner.search.runfolder import RunFolder
from tuner.search.settings import Settings
from tuner.search.space import SearchSpace
from tuner.search.watch import Watcher
from tuner.tracking import Tracker

MODEL = tiny_model()


def policy(*thresholds: float, model: Any = MODEL, **more: Any) -> Policy:
    sites = [MergeSite(layer=layer, threshold=threshold) for layer, threshold in enumerate(thresholds)]
    return Policy.for_model(model, sites, model_id="tiny", **more)


def saved(path: Path, *thresholds: float, trial: int | None = None) -> str:
    made_by = {} if trial is None else {"trial": trial}
    policy(*thresholds).model_copy(update={"made_by": made_by}).save(path)
    return str(path)


def labels(sources: warmstart.Sources) -> dict[str, Policy]:
    return {label: one for policies in sources.values() for label, one in policies.items()}


def thresholds(policies: dict[str, Policy]) -> dict[str, Sequence[float]]:
    return {label: [site.threshold for site in one.sites] for label, one in policies.items()}


def test_a_policy_is_called_after_its_file_or_its_run_and_trial(tmp_path: Path) -> None:
    one = saved(tmp_path / "one.yaml", 0.9)
    other = saved(tmp_path / "elsewhere" / "one.yaml", 0.8)
    before = tmp_path / "runs" / "before"
    saved(before / "policy.yaml", 0.7, trial=12)
    saved(before / "front" / "trial-003.yaml", 0.6, trial=3)
    found = warmstart.gather((one, other, str(before), one), {}, MODEL, tmp_path)
    assert warmstart.gather(("before",), {}, MODEL, tmp_path / "runs") == {"before": found[str(before)]}
    assert thresholds(labels(found)) == {
        "from one.yaml": [0.9],
        f"from {other}": [0.8],
        "from before trial 12": [0.7],
        "from before trial 3": [0.6],
    }


def test_a_resumed_run_starts_from_what_it_started_from(tmp_path: Path) -> None:
    """Its policies may be gone by then, or be what it exported itself; later ones are added."""
    file = saved(tmp_path / "x.yaml", 0.9)
    noted = json.loads(json.dumps(warmstart.plain(warmstart.gather((file,), {}, MODEL, tmp_path))))
    saved(tmp_path / "x.yaml", 0.5)
    later = saved(tmp_path / "y.yaml", 0.4)
    found = labels(warmstart.gather((file, later), noted, MODEL, tmp_path))
    assert thresholds(found) == {"from x.yaml": [0.9], "from y.yaml": [0.4]}


def test_what_does_the_same_is_judged_once() -> None:
    known = {"a": policy(0.9), "b": policy(0.8), "as a": policy(0.9, name="x"), "last": policy(0.9, position="last")}
    assert list(warmstart.distinct(known)) == ["a", "b", "last"]


def test_it_is_known_which_policies_no_trial_can_draw() -> None:
    space = SearchSpace.load("input")
    known = {"nothing": policy(), "inside": policy(0.9), "two sites": policy(0.9, 0.9), "too low": policy(-0.9)}
    assert warmstart.outside(space, MODEL.config.text_config.num_hidden_layers, known) == ["two sites", "too low"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("other.yaml", r"--from .*other\.yaml: .*another checkpoint"),
        ("none.yaml", r"none\.yaml.*No such file"),
        ("empty", r"--from .*empty: no policy\.yaml and no front"),
        ("broken.yaml", r"broken\.yaml is not a policy"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(tmp_path: Path, source: str, problem: str) -> None:
    policy(0.9, model=tiny_model(seed=1)).save(tmp_path / "other.yaml")
    (tmp_path / "broken.yaml").write_text("sites: []")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TunerError, match=problem):
        warmstart.gather((str(tmp_path / source),), {}, MODEL, tmp_path)


def test_a_search_knows_the_policies_it_is_given_and_keeps_them(tmp_path: Path) -> None:
    settings = Settings("reference", {"prefill_flops": 0.6}, limit=2, run="a", runs=tmp_path, device="cpu")
    bare = Context(settings, None, Watcher())
    file = tmp_path / "mine.yaml"
    mine = bare.policy((MergeSite(layer=1, threshold=0.9),), "middle")
    mine.model_copy(update={"name": "mine", "task": "other", "min_audio_tokens": 30}).save(file)
    preset = next(iter(bare.presets.values()))
    preset.save(tmp_path / "preset.yaml")

    sources = (str(tmp_path / "preset.yaml"), str(file))
    context = Context(replace(settings, run="b", start_from=sources), None, Watcher())
    assert list(context.known) == ["baseline", *bare.presets, "from mine.yaml"]
    assert context.known["from mine.yaml"] == mine

    file.unlink()
    resumed = Settings.resumed(RunFolder.reopen(tmp_path / "b").config(), {})
    assert resumed.start_from == sources
    assert Context(resumed, tmp_path / "b", Watcher()).known == context.known


@pytest.mark.slow
def test_a_search_judges_what_it_starts_from_in_its_space_or_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror, "_open", lambda _: Tracker())
    settings = Settings("reference", {"prefill_flops": 0.9}, limit=4, trials=4, min_audio_tokens=0, device="cpu")
    settings = replace(settings, runs=tmp_path / "runs", policies=tmp_path / "policies")
    shallow, deep = MergeSite(layer=0, threshold=0.6), MergeSite(layer=11, threshold=0.6)
    model = loading.load("reference", device="cpu").model
    Policy.for_model(model, [shallow], model_id="reference").save(tmp_path / "inside.yaml")
    Policy.for_model(model, [shallow, deep], model_id="reference").save(tmp_path / "outside.yaml")

    sources = tuple(str(tmp_path / f"{name}.yaml") for name in ("inside", "outside"))
    outcome = run.search(replace(settings, space="input", start_from=sources))
    numbers = {trial.label: trial.number for trial in outcome.trials}
    assert numbers["from inside.yaml"] >= 0
    assert numbers["from outside.yaml"] < 0
    assert "'input' does not hold from outside.yaml" in caplog.text
