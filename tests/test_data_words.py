"""Alignments: the words of manifests and of a file beside the reference data, and what is no alignment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_data_sources import manifest, record
from tuner.data import sources
from tuner.data.sources import load
from tuner.data.words import Word, read_words
from tuner.errors import DataError

SPOKEN = [["two", 0.1, 0.2], ["words", 0.2, 0.45]]
WORDS = (Word("two", 0.1, 0.2), Word("words", 0.2, 0.45))


def test_a_manifest_has_words_where_it_lists_them(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    lines: list[dict[str, Any]] = [
        {"audio": "a.wav", "id": "listed", "text": "two words", "words": SPOKEN},
        {"audio": "a.wav", "id": "none", "text": "two words"},
        {"audio": "a.wav", "id": "counted", "text": "two words", "words": 2},
    ]
    found = {one.id: one.words for one in load(manifest(tmp_path, *lines)).utterances}
    assert found == {"listed": WORDS, "none": None, "counted": None}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([["two", 0.1]], r"dev.jsonl:1: words have another shape"),
        ([["two", "soon", 0.2]], "another shape"),
        (["two", "words"], "another shape"),
        ([["two", 0.3, 0.2]], "not in the order of time"),
        ([["two", 0.1, 0.3], ["words", 0.2, 0.4]], "not in the order of time"),
    ],
)
def test_words_of_another_kind_are_refused(tmp_path: Path, words: object, problem: str) -> None:
    record(tmp_path / "a.wav")
    with pytest.raises(DataError, match=problem):
        load(manifest(tmp_path, {"audio": "a.wav", "text": "two words", "words": words}))


def test_the_reference_data_take_words_from_their_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (one.id for one in load("reference", split="search", limit=2).utterances)
    path = tmp_path / "words.json"
    path.write_text(json.dumps({first: SPOKEN}), encoding="utf-8")
    monkeypatch.setattr(sources, "REFERENCE_WORDS", path)
    found = {one.id: one.words for one in load("reference", split="search", limit=2).utterances}
    assert found == {first: WORDS, second: None}


@pytest.mark.parametrize(("text", "problem"), [("{", "is not JSON"), ("[]", "words of each utterance by its id")])
def test_a_broken_file_of_words_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        read_words(path)
