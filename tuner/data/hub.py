"""Data sets of the Hugging Face Hub (or a local copy of one), through ``datasets``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from datasets.utils.file_utils import xopen

from tuner.data.rows import SPEAKER_KEYS, Row, Rows, check_column, choose_split, first_key, written
from tuner.errors import DataError

ID_KEYS = ("id", "utterance_id", "segment_id")


@dataclass
class _EncodedAudio(datasets.Audio):  # type: ignore[misc]
    """An audio column left as it is stored: the library's own needs torchcodec (and ffmpeg) even to pass a path on."""

    decode: bool = False

    def encode_example(self, value: Any) -> Any:
        return {"path": value, "bytes": None} if isinstance(value, str) else value


def read_hub(dataset: str, config: str | None, split: str | None, column: str | None) -> Rows:
    """Read a split, streamed: only the files of this split are fetched, and each row as it is asked for.

    The audio column is found by its type, the speakers' and what is written of the speech by their usual names, which
    are those of manifests.

    Raises:
        DataError: the data set cannot be opened, or has no such split or no such column.
    """
    where = f"data set {dataset!r}" + (f", config {config!r}" if config else "")
    try:
        there = datasets.get_dataset_split_names(dataset, config)
        bases = [re.sub(r"\[.*\]$", "", part) for part in split.split("+")] if split else [None]
        names = [choose_split(base, there, where) for base in bases]
        table = datasets.load_dataset(dataset, config, split=split or names[0], streaming=True)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise DataError(
            f"{where}: cannot be opened ({type(error).__name__}: {error}). Check its name, its config and your "
            "network, log in if it is gated (`hf auth login`), or give a local manifest or folder instead"
        ) from error
    columns = list(table.features or ())
    audio = [name for name in columns if isinstance(table.features[name], datasets.Audio)]
    if not audio:
        raise DataError(f"{where}: has no audio column; its columns are {', '.join(columns) or 'unknown'}")
    check_column(column, columns, where)
    audio_column = "audio" if "audio" in audio else audio[0]
    table = table.cast_column(audio_column, _EncodedAudio())
    return Rows(split or names[0], _rows(table, audio_column, first_key(SPEAKER_KEYS, columns), where))


def _rows(table: Any, audio: str, speaker: str | None, where: str) -> Iterator[Row]:
    seen: dict[str, int] = {}
    id_key = first_key(ID_KEYS, table.features)
    for index, values in enumerate(_fetched(table, where)):
        stored = values[audio] or {}
        identity = str(values[id_key]) if id_key else f"{index:06d}"
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] > 1:  # FLEURS, for one, gives a sentence's id to each of its readers
            identity = f"{identity}#{seen[identity]}"
        who = values[speaker] if speaker else None
        yield Row(
            id=identity,
            source=_source(stored.get("bytes"), stored.get("path"), f"{where}, row {index}"),
            speaker=None if who is None else str(who),
            **written(values, f"{where}, row {index}"),
        )


def _fetched(table: Any, where: str) -> Iterator[Any]:
    try:
        yield from table
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise DataError(f"{where}: reading stopped ({type(error).__name__}: {error}); try again") from error


def _source(stored: bytes | None, path: str | None, where: str) -> Path | bytes:
    if stored is not None:
        return stored
    if path is None:
        return b""  # counted as broken when it is decoded
    if Path(path).is_file():
        return Path(path)
    try:
        with xopen(path, "rb") as file:  # a file on the Hub or in an archive
            content: bytes = file.read()
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: {path} cannot be read ({error})") from error
    return content
