"""Every kind of data set through ``load``, and what each mistake is answered with."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
import soundfile

from tuner.data import sources
from tuner.data.hub import read_hub
from tuner.data.sources import load
from tuner.errors import DataError

RATE = 8_000


def record(path: Path, seconds: float = 0.5, fill: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.sin(np.arange(int(seconds * RATE)))
    soundfile.write(path, samples if fill is None else np.full_like(samples, fill), RATE, subtype="FLOAT")
    return path


def manifest(folder: Path, *lines: dict[str, Any] | str, name: str = "dev.jsonl") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder with a.wav (0.5 s) and b.wav (1 s)."""
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav", seconds=1)
    return tmp_path


@pytest.mark.parametrize("key", ["audio", "path", "audio_filepath", "file"])
@pytest.mark.parametrize("text_key", ["text", "sentence", "transcript", "transcription"])
def test_manifest_keys(audio: Path, key: str, text_key: str) -> None:
    data = load(manifest(audio, {key: "a.wav", text_key: "one", "client_id": 7}, {key: "b.wav", text_key: "two"}))

    assert [(one.id, one.text, one.speaker, one.seconds) for one in data.utterances] == [
        ("a.wav", "one", "7", 0.5),
        ("b.wav", "two", None, 1.0),
    ]
    assert data.split == "dev"


def test_csv_manifest(audio: Path) -> None:
    data = load(manifest(audio, "id,path,text,speaker", 'x,a.wav,"one, two",anna', "y,b.wav,three,", name="dev.csv"))

    assert [(one.id, one.text, one.speaker) for one in data.utterances] == [
        ("x", "one, two", "anna"),
        ("y", "three", None),
    ]


def test_audio_paths_start_at_the_manifest_or_at_home(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(audio))
    monkeypatch.chdir("/")
    lines = [{"path": path, "text": "x"} for path in ("../a.wav", "~/b.wav", str(audio / "a.wav"))]

    assert [one.seconds for one in load(manifest(audio / "lists", *lines)).utterances] == [0.5, 1.0, 0.5]


def test_splits_of_a_manifest(audio: Path) -> None:
    path = manifest(
        audio, {"path": "a.wav", "text": "x", "split": "search"}, {"path": "b.wav", "text": "y", "split": "test"}
    )

    assert [one.id for one in load(path, split="test").utterances] == ["b.wav"]
    with pytest.raises(DataError, match=r"no split 'dev'; there are: search, test"):
        load(path, split="dev")
    with pytest.raises(DataError, match=r"several splits \(search, test\); name the one"):
        load(path)


GOOD = {"path": "a.wav", "text": "x"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD, "{oops"], r"dev.jsonl:2: is not JSON"),
        ([GOOD, "", "[1]"], r"dev.jsonl:3: expected a JSON object, got list"),
        ([GOOD, {"text": "y"}], r"dev.jsonl:2: has no audio; expected the key audio or path"),
        ([{"path": 3, "text": "y"}], r"dev.jsonl:1: path must be the path of an audio file, got 3"),
        ([{"path": "a.wav", "text": 3}], r"dev.jsonl:1: text must be a string, got 3"),
        ([GOOD, GOOD], r"dev.jsonl:2: the id 'a.wav' is on line 1 too"),
        ([{**GOOD, "split": "x"}, {"path": "b.wav"}], r"dev.jsonl:2: has no split"),
        ([{**GOOD, "offset": 1.5}], r"dev.jsonl:1: has an offset"),
        ([{"path": "a.wav", "words": "x"}], r"no text; expected one of text.*, got path, words; .*--metric agreement"),
        ([""], r"holds no utterances"),
    ],
)
def test_bad_manifest_lines_are_named(audio: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(manifest(audio, *lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,text", "a.wav"], r"dev.csv:2: expected 2 fields"),
        (["path,text", "a.wav,x,y"], r"dev.csv:2: expected 2 fields"),
        (["path,text", 'a.wav,"x'], r"dev.csv: is not CSV after line 1"),
    ],
)
def test_bad_csv_lines_are_named(audio: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(manifest(audio, *lines, name="dev.csv"))


def test_folder_with_texts_beside_the_audio(audio: Path) -> None:
    record(audio / "more" / "c.flac.wav")
    for name, text in (("a.txt", "one\n"), ("b.txt", "two"), ("more/c.flac.txt", "three")):
        (audio / name).write_text(text, encoding="utf-8")

    assert {one.id: one.text for one in load(str(audio)).utterances} == {
        "a.wav": "one",
        "b.wav": "two",
        "more/c.flac.wav": "three",
    }
    assert [one.id for one in load(str(audio), split="more").utterances] == ["more/c.flac.wav"]
    with pytest.raises(DataError, match=r"no split 'dev'; there are: more"):
        load(str(audio), split="dev")


def test_folder_without_texts(audio: Path) -> None:
    with pytest.raises(
        DataError, match=r"put one in a \.txt beside each file, such as a\.txt, or .*--metric agreement"
    ):
        load(str(audio))
    assert len(load(str(audio), column=None)) == 2


def test_the_shipped_data_are_a_manifest(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"path": "a.wav", "text": "x", "voice": "en-gb", "seconds": 0.5, "split": "search"}
    monkeypatch.setattr(
        sources, "REFERENCE_MANIFEST", Path(manifest(audio, row, {**row, "path": "b.wav", "split": "test"}))
    )
    data = load("reference", split="search")

    assert (data.name, data.split, len(data), data.utterances[0].speaker) == ("reference", "search", 1, "en-gb")


BROKEN = {
    "missing": (None, "no such audio file"),
    "empty": ({"seconds": 0}, "empty"),
    "short": ({"seconds": 0.01}, "too short"),
    "long": ({"seconds": 3}, r"too long: 3\.0 s, at most 2\.0 s"),
    "silent": ({"fill": 0.0}, "silent"),
    "nan": ({"fill": float("nan")}, "NaN"),
    "junk": (b"RIFF but not really", "cannot be decoded"),
    "truncated": (b"", "cannot be decoded"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unusable_audio_is_named_counted_and_skipped(audio: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    made, reason = BROKEN[kind]
    if isinstance(made, dict):
        record(audio / "bad.wav", **made)
    elif made is not None:
        (audio / "bad.wav").write_bytes(made)
    path = manifest(audio, GOOD, {"path": "bad.wav", "text": "y"})

    with caplog.at_level(logging.WARNING):
        data = load(path, max_bad=1, max_seconds=2.0)
    assert [one.id for one in data.utterances] == ["a.wav"]
    assert [bad.id for bad in data.skipped] == ["bad.wav"]
    assert "bad.wav" in caplog.text
    with pytest.raises(DataError, match=rf"(?s)1 of 2 utterances cannot be used, 0 allowed .*bad.wav.*{reason}"):
        load(path, max_bad=0, max_seconds=2.0)


def test_utterances_without_text_are_unusable_only_where_texts_are_needed(audio: Path) -> None:
    path = manifest(audio, GOOD, {"path": "b.wav", "text": "  "})

    assert [bad.reason for bad in load(path, max_bad=1).skipped] == ["no text"]
    with pytest.raises(DataError, match=r"(?s)--metric agreement.*b\.wav: no text"):
        load(path)
    assert len(load(path, column=None)) == 2


QUESTION = {"path": "a.wav", "question": "Which drink?", "answer": "tea", "translation": "té"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"answer": "tea"}, (None, ("tea",), (), None)),
        ({"answers": ["tea", "a tea", " "]}, (None, ("tea", "a tea"), (), None)),
        ({"answer": 21}, (None, ("21",), (), None)),
        ({"answer": "B", "options": "one | two"}, (None, ("B",), ("one", "two"), None)),
        ({"answer": "B", "choices": ["one", "two"]}, (None, ("B",), ("one", "two"), None)),
        (QUESTION, ("Which drink?", ("tea",), (), "té")),
        ({"answer": "tea", "target_text": "té"}, (None, ("tea",), (), "té")),
    ],
)
def test_what_is_written_of_an_utterance(audio: Path, line: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (one,) = load(manifest(audio, {"path": "a.wav", **line}), column="answers").utterances

    assert (one.question, one.answers, one.choices, one.translation) == expected


def test_a_table_holds_lists_too(audio: Path) -> None:
    path = manifest(audio, "path,question,answer,choices", "a.wav,Which?,one,one|two words", name="dev.csv")
    (one,) = load(path, column="answers").utterances

    assert (one.question, one.answers, one.choices) == ("Which?", ("one",), ("one", "two words"))


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        (GOOD, "answers", r"dev.jsonl: has no answers; expected one of answer, answers, got path, text; add it, or"),
        (GOOD, "translation", r"has no translation; expected one of translation, target_text, got path, text"),
        ({**GOOD, "translation": 3}, "text", r"dev.jsonl:1: translation must be a string, got 3"),
        ({**GOOD, "choices": [["a"]]}, "text", r"dev.jsonl:1: choices must be a string or a list of strings"),
        ({**GOOD, "answer": True}, "answers", r"dev.jsonl:1: answer must be a string or a list of strings, got True"),
        ({**GOOD, "translation": " "}, "translation", r"none of its 1 utterances has translation"),
    ],
)
def test_a_task_is_refused_the_data_it_cannot_use(audio: Path, line: dict[str, Any], column: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(manifest(audio, line), column=column)


def test_a_folder_has_texts_alone(audio: Path) -> None:
    with pytest.raises(DataError, match="a folder of audio has no translation; give a manifest that has"):
        load(str(audio), column="translation")


def test_utterances_that_are_no_part_of_a_task_are_left_out_and_it_is_said(
    audio: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = manifest(audio, GOOD, {"path": "b.wav", "text": "tea", "translation": "té"})
    with caplog.at_level(logging.WARNING):
        data = load(path, column="translation")

    assert ([one.id for one in data.utterances], data.skipped) == (["b.wav"], ())
    assert "1 utterances have no translation and are left out" in caplog.text
    assert len(load(path)) == 2


def test_many_bad_utterances_are_summed_up(audio: Path) -> None:
    path = manifest(audio, GOOD, *({"path": f"no{index}.wav", "text": "x"} for index in range(7)))

    with pytest.raises(DataError, match=r"(?s)7 of 8 .*no4\.wav.*and 2 more"):
        load(path, max_bad=6)
    assert len(load(path, max_bad=7)) == 1


def test_nothing_usable_is_an_error_however_much_is_allowed(audio: Path) -> None:
    with pytest.raises(DataError, match="1 of 1 utterances cannot be used"):
        load(manifest(audio, {"path": "none.wav", "text": "x"}), max_bad=10)


def test_limit_counts_usable_utterances(audio: Path) -> None:
    path = manifest(audio, {"path": "none.wav", "text": "x"}, GOOD, {"path": "b.wav", "text": "y"})

    assert [one.id for one in load(path, max_bad=1, limit=1).utterances] == ["a.wav"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: no such manifest"),
        ("./nowhere", "nowhere: does not exist"),
        ("/nowhere/at/all", "/nowhere/at/all: does not exist"),
        ("a.wav", r"a\.wav: is not a data set; expected a \.jsonl or \.csv manifest, a folder, a Hub id"),
        ("empty", "empty: holds no audio file"),
    ],
)
def test_what_is_no_data_set(audio: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, message: str) -> None:
    (audio / "empty").mkdir()
    monkeypatch.chdir(audio)
    with pytest.raises(DataError, match=message):
        load(dataset)


def parquet(folder: Path, name: str, columns: dict[str, list[Any]], audio: str | None = "audio") -> None:
    """One split as the Hub keeps it: the encoded audio inside, the types in the file's metadata."""
    features = {key: datasets.Audio() if key == audio else datasets.Value("string") for key in columns}
    stored = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({key: pa.array(rows, stored if key == audio else pa.string()) for key, rows in columns.items()})
    info = {"info": {"features": datasets.Features(features).to_dict()}}
    folder.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), folder / name)


@pytest.fixture
def hub(audio: Path) -> str:
    """A data set with two splits, as it lies on the Hub."""
    stored = [{"bytes": (audio / name).read_bytes(), "path": name} for name in ("a.wav", "b.wav")]
    folder = audio / "hub"
    for split, texts in (("validation", ["one", "two"]), ("test", ["three", "four"])):
        columns: dict[str, list[Any]] = {
            "audio": stored,
            "sentence": texts,
            "id": ["7", "7"],
            "speaker_id": ["anna", None],
            "answer": texts,
        }
        parquet(folder, f"{split}-00000-of-00001.parquet", columns)
    return str(folder)


def test_hub_data_set(hub: str) -> None:
    data = load(hub, split="validation")

    assert [(one.id, one.text, one.speaker, one.seconds) for one in data.utterances] == [
        ("7", "one", "anna", 0.5),
        ("7#2", "two", None, 1.0),
    ]
    assert [one.answers for one in load(hub, split="test", column="answers").utterances] == [("three",), ("four",)]
    assert data.utterances[1].samples().shape == (16_000,)
    assert len(load(hub, split="validation+test")) == 4


@pytest.mark.parametrize(
    ("config", "split", "message"),
    [
        (None, "dev", r"no split 'dev'; there are: test, validation"),
        (None, None, r"several splits \(test, validation\); name the one"),
        ("clean", "test", r"config 'clean': cannot be opened.*'clean' not found.*'default'"),
    ],
)
def test_hub_mistakes(hub: str, config: str | None, split: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(hub, config, split)


@pytest.mark.parametrize(
    ("columns", "audio", "message"),
    [
        (
            {"audio": [None], "words": ["x"]},
            "audio",
            r"no text; expected one of text, .*, got audio, words; .*--metric agreement",
        ),
        ({"sound": ["x.wav"], "text": ["x"]}, None, r"no audio column; its columns are sound, text"),
        ({"audio": [None], "text": ["x"]}, "audio", r"1 of 1 utterances cannot be used"),
    ],
)
def test_hub_columns(tmp_path: Path, columns: dict[str, list[Any]], audio: str | None, message: str) -> None:
    parquet(tmp_path / "hub", "validation-00000-of-00001.parquet", columns, audio)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path / "hub"), split="validation")


def test_hub_audio_in_archives(audio: Path) -> None:
    """Data sets kept as audio files rather than parquet give paths, here into a zip archive."""
    (audio / "hub").mkdir()
    with zipfile.ZipFile(audio / "hub" / "validation.zip", "w") as archive:
        for name in ("a.wav", "b.wav"):
            archive.write(audio / name, name)
        lines = [json.dumps({"file_name": name, "text": name}) for name in ("a.wav", "b.wav")]
        archive.writestr("metadata.jsonl", "\n".join(lines))
    found = read_hub(str(audio / "hub"), None, "validation", column="text")

    assert [(row.text, row.source) for row in found.rows] == [
        (name, (audio / name).read_bytes()) for name in ("a.wav", "b.wav")
    ]
