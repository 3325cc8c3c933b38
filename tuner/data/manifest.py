"""Manifests: one utterance a line, as JSON objects (``.jsonl``) or as a table with a header (``.csv``)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.data.rows import SPEAKER_KEYS, Row, Rows, check_column, choose_split, first_key, written
from tuner.data.words import words_of
from tuner.errors import DataError

AUDIO_KEYS = ("audio", "path", "audio_filepath", "file")
SUFFIXES = frozenset({".jsonl", ".csv"})


def read_manifest(path: Path, split: str | None, column: str | None) -> Rows:
    """Read a manifest's rows of one split.

    Keys: the audio (``audio``, ``path``, ``audio_filepath`` or ``file``; ``~`` is expanded, a relative path starts at
    the manifest's folder) and, where known, ``text`` (``sentence``, ``transcript``, ``transcription``), ``speaker`` (or
    ``speaker_id``, ``client_id``, ``voice``), ``id`` (else the path as written), ``split`` and, in JSON, ``words`` (a
    list of ``[word, start, end]`` in seconds). Questions have ``answer`` (or ``answers``, all of them right),
    ``question`` where it is not the speech that asks it, and ``choices`` (``options``); translations have
    ``translation`` (``target_text``). Others are ignored.

    Raises:
        DataError: no such file, a bad line (named by its number), no key for the column that is needed, a split that
            is not there, or an id that is there twice.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such manifest")
    try:
        lines = list(_csv_lines(path) if path.suffix.lower() == ".csv" else _json_lines(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}); convert it") from error
    if not lines:
        raise DataError(f"{path}: holds no utterances")
    lines, split = _of_split(lines, split, path)
    check_column(column, list(dict.fromkeys(key for _, values in lines for key in values)), str(path))
    rows: dict[str, tuple[int, Row]] = {}
    for number, values in lines:
        row = _row(values, path, number)
        if row.id in rows:
            raise DataError(f"{path}:{number}: the id {row.id!r} is on line {rows[row.id][0]} too; make ids unique")
        rows[row.id] = (number, row)
    return Rows(split, iter([row for _, row in rows.values()]))


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: is not JSON ({error})") from error
            if not isinstance(values, dict):
                raise DataError(f"{path}:{number}: expected a JSON object, got {type(values).__name__}")
            yield number, {key: value for key, value in values.items() if value is not None}


def _csv_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for values in reader:
                # DictReader files surplus fields under None and fills missing ones with None.
                if None in values or None in values.values():
                    expected = len(reader.fieldnames or ())
                    raise DataError(f"{path}:{reader.line_num}: expected {expected} fields, as in the header")
                yield reader.line_num, {key: value for key, value in values.items() if value != ""}
        except csv.Error as error:
            raise DataError(f"{path}: is not CSV after line {reader.line_num} ({error})") from error


def _of_split(
    lines: list[tuple[int, dict[str, Any]]], wanted: str | None, path: Path
) -> tuple[list[tuple[int, dict[str, Any]]], str]:
    splits = {str(values["split"]) for _, values in lines if "split" in values}
    if not splits and wanted is None:
        return lines, path.stem  # so that a whole file named test.jsonl is known as a test split
    for number, values in lines:
        if splits and "split" not in values:
            raise DataError(f"{path}:{number}: has no split, but other lines have; give every line one, or none")
    chosen = choose_split(wanted, splits, str(path))
    return [(number, values) for number, values in lines if str(values["split"]) == chosen], chosen


def _row(values: dict[str, Any], path: Path, number: int) -> Row:
    where = f"{path}:{number}"
    audio_key = first_key(AUDIO_KEYS, values)
    if audio_key is None:
        raise DataError(f"{where}: has no audio; expected the key {' or '.join(AUDIO_KEYS)}, got {', '.join(values)}")
    audio = values[audio_key]
    speaker_key = first_key(SPEAKER_KEYS, values)
    if not isinstance(audio, str) or not audio:
        raise DataError(f"{where}: {audio_key} must be the path of an audio file, got {audio!r}")
    if values.get("offset") not in (None, 0, "0", "0.0"):
        raise DataError(f"{where}: has an offset into a longer file; cut the audio into one file an utterance")
    return Row(
        id=str(values.get("id", audio)),
        source=path.parent / Path(audio).expanduser(),
        speaker=str(values[speaker_key]) if speaker_key else None,
        words=words_of(values["words"], where) if isinstance(values.get("words"), list) else None,
        **written(values, where),
    )
