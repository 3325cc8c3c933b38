"""Search spaces narrowed by a redundancy map: what gives way, what stays, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import probes
from tuner.errors import TunerError
from tuner.probe.effect import Harm
from tuner.search.evidence import Evidence
from tuner.search.narrow import narrow
from tuner.search.space import SearchSpace

LAYERS = 11  # so that depths in tenths are whole layers


def evidence(harms: dict[tuple[int, float], Harm], **changed: Any) -> Evidence:
    return Evidence(replace(probes.found(probes.effects(harms), LAYERS), **changed))


def space(layer: Any, threshold: Any, largest: Any = 0) -> SearchSpace:
    site = {"layer": layer, "threshold": threshold, "window": 1, "largest": largest}
    return SearchSpace.model_validate({"schema": 1, "name": "x", "sites": [site]})


def every(harm: Harm, *layers: int) -> dict[tuple[int, float], Harm]:
    return {(layer, retention): harm for layer in layers for retention in (0.25, 0.75)}


ALL = {"low": 0.0, "high": 1.0}
# What is kept rises evenly from nothing at 0.5 to all at 0.9.
NOTHING_RULED_OUT = every("undecided", *range(LAYERS))


@pytest.mark.parametrize(
    ("harms", "layer", "expected"),
    [
        (NOTHING_RULED_OUT, ALL, (0, 10)),
        (NOTHING_RULED_OUT | every("harmful", 0, 1), ALL, (2, 10)),
        (NOTHING_RULED_OUT | every("harmful", 0, 9, 10), {"low": 0.0, "high": 1.0}, (1, 8)),
        (NOTHING_RULED_OUT | every("harmful", 5), ALL, (0, 10)),  # a range has no hole
        (NOTHING_RULED_OUT | every("harmful", 0) | {(0, 0.75): "undecided"}, ALL, (0, 10)),
        (every("harmful", *range(LAYERS)), ALL, (0, 10)),  # nothing would be left
        (every("harmful", 0, 5) | every("harmless", 10), ALL, (6, 10)),  # between two that are hopeless
    ],
)
def test_hopeless_layers_leave_the_ends_of_a_range(
    harms: dict[tuple[int, float], Harm], layer: Any, expected: tuple[int, int]
) -> None:
    narrower, reasons = narrow(space(layer, 0.8), evidence(harms), LAYERS)
    distribution: Any = narrower.distributions(LAYERS)["layer.0"]
    assert (distribution.low, distribution.high) == expected
    assert bool(reasons) == (expected != (0, 10) or harms == every("harmful", *range(LAYERS)))


@pytest.mark.parametrize(
    ("harms", "layer", "expected"),
    [
        (NOTHING_RULED_OUT, 0.0, (0.5, 0.91)),
        (NOTHING_RULED_OUT | {(0, 0.25): "harmful"}, 0.0, (0.6, 0.91)),
        (NOTHING_RULED_OUT | every("harmful", 0), 0.0, (0.8, 0.91)),
        (NOTHING_RULED_OUT | {(1, 0.25): "harmful"}, 0.0, (0.5, 0.91)),  # another layer
        (NOTHING_RULED_OUT | {(0, 0.25): "harmful"}, {"low": 0.0, "high": 0.1}, (0.5, 0.91)),  # layer 1 allows it
        ({(4, 0.25): "harmful"}, 0.5, (0.5, 0.91)),  # layer 5 was not probed, nor any behind it
    ],
)
def test_thresholds_that_keep_too_little_or_all_are_cut_off(
    harms: dict[tuple[int, float], Harm], layer: Any, expected: tuple[float, float]
) -> None:
    narrower, _ = narrow(space(layer, {"low": 0.5, "high": 0.95}), evidence(harms), LAYERS)
    distribution: Any = narrower.distributions(LAYERS)["threshold.0"]
    assert (distribution.low, distribution.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("largest", "lowest"), [(2, 0.5), (4, 0.5), (5, 0.6), ({"choices": [2, 3]}, 0.5), ({"choices": [2, 0]}, 0.6)]
)
def test_groups_that_cannot_take_too_much_may_have_any_threshold(largest: Any, lowest: float) -> None:
    harms = NOTHING_RULED_OUT | {(0, 0.25): "harmful"}
    narrower, _ = narrow(space(0.0, {"low": 0.5, "high": 0.95}, largest), evidence(harms), LAYERS)
    distribution: Any = narrower.distributions(LAYERS)["threshold.0"]
    assert distribution.low == pytest.approx(lowest)


def test_ratios_of_other_methods_are_narrowed_alike() -> None:
    narrower, reasons = narrow(SearchSpace.load("methods"), evidence(every("harmful", *range(LAYERS))), LAYERS)
    free: Any = narrower.distributions(LAYERS)
    assert [free[f"ratio.{number}"].low for number in (0, 1)] == [0.75, 0.75]
    assert any("ratios from 0.1 begin at 0.75" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["dual", "triple", "ladder", "input", "methods"])
def test_shipped_spaces_can_be_narrowed_and_keep_their_off_switch(name: str) -> None:
    harms = NOTHING_RULED_OUT | every("harmful", 0, 1, 2, 3)
    whole = SearchSpace.load(name)
    narrower, reasons = narrow(whole, evidence(harms), LAYERS)
    assert reasons
    assert narrower.fingerprint != whole.fingerprint
    identity = narrower.identity(LAYERS)
    assert identity is not None
    assert narrower.sites_of(identity, LAYERS) == ()
    assert SearchSpace.model_validate(narrower.model_dump(mode="json", by_alias=True)) == narrower


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"fingerprint": "other"}, "another model"), ({"split": "test-clean"}, "test split"), ({}, None)],
)
def test_a_map_must_be_of_this_model_and_of_no_test_split(
    tmp_path: Path, changed: dict[str, str], problem: str | None
) -> None:
    folder = tmp_path / "map"
    folder.mkdir()
    found = evidence(NOTHING_RULED_OUT, **changed).found
    found.save(folder)
    if problem is None:
        assert Evidence.load("map", tmp_path, "abc", force_test=False).found == found
    else:
        with pytest.raises(TunerError, match=problem):
            Evidence.load(str(folder), tmp_path, "abc", force_test=False)
