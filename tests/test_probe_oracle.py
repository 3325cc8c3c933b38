"""Oracle interventions: which tokens belong to a word, how many of them stay, and the same in a model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tuner import loading
from tuner.data.sources import load
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.data.words import Word
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.evaluator import Evaluator
from tuner.policy import MergeSite, Policy
from tuner.probe.oracle import METHODS, rules, spare, staying
from tuner.probe.stretches import Stretch, stretches
from tuner.tasks.asr import TASK

LAYER = 4
RETENTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)


def utterance(seconds: float, words: tuple[Word, ...] | None = None, name: str = "a") -> Utterance:
    return Utterance(name, "", None, seconds, Path(name), words=words)


@pytest.mark.parametrize(
    ("one", "tokens", "expected"),
    [
        # 25 tokens a second, pauses before, between and after the words
        (
            utterance(0.4, (Word("a", 0.04, 0.16), Word("b", 0.20, 0.36))),
            10,
            [Stretch(0, 1), Stretch(1, 4, "a"), Stretch(4, 5), Stretch(5, 9, "b"), Stretch(9, 10)],
        ),
        # no pauses; the middle of a token decides whose it is
        (utterance(1.0, (Word("a", 0, 0.52), Word("b", 0.52, 1.0))), 4, [Stretch(0, 2, "a"), Stretch(2, 4, "b")]),
        # a word too short for a token, and one that goes on after the audio
        (
            utterance(1.0, (Word("a", 0, 0.01), Word("b", 0.01, 0.5), Word("c", 0.5, 1.3))),
            4,
            [Stretch(0, 2, "b"), Stretch(2, 4, "c")],
        ),
        (utterance(0.9), 9, [Stretch(0, 3), Stretch(3, 6), Stretch(6, 9)]),
        (utterance(0.1), 3, [Stretch(0, 3)]),
        (utterance(1.0, ()), 5, [Stretch(0, 5)]),
    ],
)
def test_tokens_are_divided_by_words(one: Utterance, tokens: int, expected: list[Stretch]) -> None:
    assert list(stretches(one, tokens)) == expected


def naive(method: str, size: int, stay: int) -> tuple[list[int], list[int]]:
    """The block of each token, and the tokens that are kept, by going from token to token."""
    blocks = [number * stay // size for number in range(size)]
    members = [[n for n in range(size) if blocks[n] == block] for block in range(stay)]
    if method == "uniform-merge":
        return blocks, list(range(size))
    return list(range(size)), [own[(len(own) - 1) // 2] for own in members]


@pytest.mark.parametrize("retention", RETENTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_every_stretch_keeps_exactly_its_share(method: str, retention: float) -> None:
    sizes = [1, 2, 3, 5, 8, 13, 40]
    borders = np.cumsum([0, *sizes])
    words = tuple(Word("w", start, end) for start, end in pairwise(borders))
    one, tokens = utterance(float(borders[-1]), words), int(borders[-1])
    spared = spare(one, tokens, method, retention)
    for size, start in zip(sizes, borders, strict=False):
        joined, kept = spared.joined[start : start + size], spared.kept[start : start + size]
        assert not joined[0]
        assert int((kept & ~joined).sum()) == staying(size, retention) == max(1, int(retention * size + 0.5))
        if method != "random-drop":
            blocks, own = naive(method, size, staying(size, retention))
            assert np.cumsum(~joined).tolist() == [block + 1 for block in blocks]
            assert np.flatnonzero(kept).tolist() == own


def test_chance_is_the_utterances_own() -> None:
    one, other = (spare(utterance(3.0, name=name), 60, "random-drop", 0.5).kept for name in "ab")
    again = spare(utterance(3.0), 60, "random-drop", 0.5).kept
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_under_an_intervention_keeps_that_many_and_says_what_generate_says(method: str) -> None:
    loaded = loading.load("reference", device="cpu")
    data = load("reference", split="search", limit=4)
    # Two with words of their own and two without.
    spoken = (Word("one", 0.1, 0.4), Word("two", 0.4, 0.9))
    data = UtteranceSet(
        data.name, data.split, tuple(replace(u, words=spoken) if n < 2 else u for n, u in enumerate(data.utterances))
    )
    plain, identity = Evaluator(loaded, TASK, data, batch_size=3), Policy.for_model(loaded.model)
    baseline = plain.evaluate(identity)
    drafted = Drafted(plain, identity, baseline)
    site, retention = Policy.for_model(loaded.model, [MergeSite(layer=LAYER, threshold=1.0)]), 0.5
    found = drafted.evaluate(site, rules(method, retention))
    expected = plain.evaluate(site, rules=rules(method, retention))
    for one, record, other in zip(data.utterances, found.records, expected.records, strict=True):
        whole = record.audio_tokens[0]
        left = sum(staying(s.end - s.start, retention) for s in stretches(one, whole))
        behind = loaded.speech.num_layers - LAYER
        assert record.audio_tokens == (whole,) * LAYER + (left,) * behind == other.audio_tokens
    if not found.ties:
        assert [one.text for one in found.records] == [one.text for one in expected.records]
    assert [one.text for one in drafted.evaluate(identity).records] == [one.text for one in baseline.records]
