"""What a probe says of the published hierarchy, and the files it says it in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import probes
from tuner.errors import TunerError
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.probe.effect import Harm, effect
from tuner.probe.found import RedundancyMap
from tuner.probe.interventions import Intervention, Ledger, planned
from tuner.probe.verdict import thirds, verdict
from tuner.probe.write import FIGURES, write
from tuner.tasks.metric import WER

LAYERS = 6


def thirds_that_are(shallow: Harm, middle: Harm, deep: Harm) -> dict[tuple[int, float], Harm]:
    """Interventions that leave a quarter, in six layers; those that leave three quarters are harmless everywhere."""
    harms = (shallow, shallow, middle, middle, deep, deep)
    quarter: dict[tuple[int, float], Harm] = {(layer, 0.25): harm for layer, harm in enumerate(harms)}
    return quarter | {(layer, 0.75): "harmless" for layer in range(LAYERS)}


@pytest.mark.parametrize(
    ("harms", "says"),
    [
        (thirds_that_are("harmful", "harmful", "harmless") | {(3, 0.25): "harmless"}, "holds here"),
        (thirds_that_are("harmful", "harmful", "harmless"), "the middle third is fragile, not unstable"),
        (
            thirds_that_are("harmless", "harmful", "undecided"),
            "the shallow third is redundant, not fragile; the middle",
        ),
        (
            thirds_that_are("harmful", "harmful", "undecided") | {(3, 0.25): "harmless"},
            "more utterances would tell: the deep third is undecided",
        ),
        ({(0, 0.25): "harmful"}, "nothing was probed in the middle, deep third"),
    ],
)
def test_the_verdict_says_what_was_found(harms: dict[tuple[int, float], Harm], says: str) -> None:
    whole, *parts = verdict(probes.effects(harms), LAYERS, probes.TOLERANCE, WER)
    assert says in whole
    assert len(parts) == len(thirds(probes.effects(harms), LAYERS, probes.TOLERANCE, WER))


@pytest.mark.parametrize(("layers", "sizes"), [(6, [2, 2, 2]), (12, [4, 4, 4]), (32, [11, 11, 10]), (2, [1, 1])])
def test_thirds_of_the_depth(layers: int, sizes: list[int]) -> None:
    found = thirds([probes.effect(layer, 0.5, "harmless") for layer in range(layers)], layers, probes.TOLERANCE, WER)
    assert [len(one.effects) for one in found] == sizes


def evaluation(errors: list[int], tokens: int) -> Evaluation:
    records = [
        UtteranceRecord(str(n), 1.0, "x", (e, 10, min(e, 10)), (9, 9), (8, tokens), 3, False)
        for n, e in enumerate(errors)
    ]
    return Evaluation("", "search", tuple(records), 0.0)


def test_an_effect_is_the_paired_difference_to_the_baseline() -> None:
    baseline, worse = evaluation([1, 0, 2, 0] * 10, 8), evaluation([3, 2, 4, 2] * 10, 2)
    found = effect(Intervention(1, "uniform-drop", 0.25), worse, baseline)
    assert (found.kept, found.quality) == pytest.approx((0.25, 0.275))
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert [found.harm(tolerance) for tolerance in (0.1, 0.2)] == ["harmful", "harmless"]


def test_a_ledger_forgets_only_the_line_that_was_cut_off(tmp_path: Path) -> None:
    path, plan = tmp_path / "interventions.jsonl", list(planned([0, 5], ["random-drop"], [0.5, 0.25]))
    assert [(one.layer, one.retention) for one in plan] == [(0, 0.25), (0, 0.5), (5, 0.25), (5, 0.5)]
    ledger = Ledger(path)
    for one in plan:
        ledger.add(one, evaluation([1], 3))
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    again = Ledger(path)
    assert list(again.done) == plan[:-1]
    again.add(plan[-1], evaluation([2], 3))
    assert Ledger(path).done == {**{one: evaluation([1], 3) for one in plan[:-1]}, plan[-1]: evaluation([2], 3)}


def test_a_map_is_written_and_read_back(tmp_path: Path) -> None:
    harms = thirds_that_are("harmful", "undecided", "harmless")
    found = probes.found(probes.effects(harms), LAYERS)
    files = {path.name for path in write(found, "tune probe --model reference", tmp_path)}
    assert files == {"probe.json", "probe.md", *FIGURES} == {path.name for path in tmp_path.iterdir()}
    assert RedundancyMap.load(tmp_path) == found
    text = (tmp_path / "probe.md").read_text(encoding="utf-8")
    assert all(sentence in text for sentence in found.verdict)
    assert "| 0 | +30.00! |" in text


@pytest.mark.parametrize(("content", "problem"), [(None, "holds no probe.json"), ("{}", "another version")])
def test_what_is_no_map_is_named(tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "probe.json").write_text(content, encoding="utf-8")
    with pytest.raises(TunerError, match=problem):
        RedundancyMap.load(tmp_path)
