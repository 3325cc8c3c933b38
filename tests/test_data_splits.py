"""How a split is divided, and which splits are not for tuning."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tuner.data.splits import divide, refuse_test
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import DataError


def spoken(*speakers: str | None) -> UtteranceSet:
    """One utterance for each speaker named."""
    return UtteranceSet(
        "data", "dev", tuple(Utterance(f"u{index}", "x", who, 1.0, Path("x.wav")) for index, who in enumerate(speakers))
    )


def ids(data: UtteranceSet) -> set[str]:
    return {one.id for one in data.utterances}


@pytest.mark.parametrize(
    "speakers", [[None] * 400, [f"s{index // 4}" for index in range(400)]], ids=["ids", "speakers"]
)
@pytest.mark.parametrize("fraction", [0.3, 0.5])
def test_parts_are_disjoint_whole_and_about_the_size_asked_for(speakers: list[str | None], fraction: float) -> None:
    data = spoken(*speakers)
    search, selection = divide(data, fraction)

    assert ids(search) | ids(selection) == ids(data)
    assert not ids(search) & ids(selection)
    assert len(search) / len(data) == pytest.approx(fraction, abs=0.1)
    assert (search.split, selection.split) == ("dev/search", "dev/selection")


def test_no_speaker_is_on_both_sides() -> None:
    search, selection = divide(spoken(*(f"s{index % 9}" for index in range(90))))

    assert not {one.speaker for one in search.utterances} & {one.speaker for one in selection.utterances}


def test_added_utterances_move_no_other() -> None:
    few, many = spoken(*[None] * 50), spoken(*[None] * 80)

    assert ids(divide(few)[0]) == ids(divide(many)[0]) & ids(few)


def test_another_seed_divides_otherwise() -> None:
    data = spoken(*[None] * 50)

    assert ids(divide(data, seed=1)[0]) != ids(divide(data, seed=2)[0])


@pytest.mark.parametrize("seed", range(20))
def test_two_speakers_are_always_parted(seed: int) -> None:
    search, selection = divide(spoken("anna", "anna", "ben"), seed=seed)

    assert len(search) + len(selection) == 3
    assert min(len(search), len(selection)) == 1


def test_a_single_speaker_is_divided_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        search, selection = divide(spoken(*["anna"] * 20))
    assert min(len(search), len(selection)) > 0
    assert "one speaker only" in caplog.text


@pytest.mark.parametrize(
    ("speakers", "reason"),
    [
        (["anna"] * 30 + ["ben"], "too few speakers for an even division"),
        ([None] * 2, "too few utterances for an even"),
    ],
)
def test_an_uneven_division_is_warned_of(
    speakers: list[str | None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(9):
        divide(spoken(*speakers), fraction=0.9, seed=seed)
    assert reason in caplog.text


def test_what_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"1 utterance\(s\) cannot be divided"):
        divide(spoken(None))
    with pytest.raises(DataError, match=r"fraction between 0 and 1, got 1\.0"):
        divide(spoken(None, None), fraction=1.0)


@pytest.mark.parametrize(
    "split", ["test", "test-clean", "test.other", "TEST", "eval", "eval92", "dev_test", "dev+test"]
)
def test_test_splits_are_refused_unless_forced(split: str) -> None:
    with pytest.raises(DataError, match="is a test split by its name"):
        refuse_test(split)
    refuse_test(split, force=True)


@pytest.mark.parametrize("split", ["validation", "dev-clean", "train", "latest", "search", "contest"])
def test_other_splits_are_not(split: str) -> None:
    refuse_test(split)
