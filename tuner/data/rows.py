"""What every kind of data set is read into before its audio is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.data.words import Word
from tuner.errors import DataError

TEXT_KEYS = ("text", "sentence", "transcript", "transcription", "normalized_text")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": TEXT_KEYS,
    "question": ("question",),
    "answers": ("answer", "answers"),
    "choices": ("choices", "options"),
    "translation": ("translation", "target_text"),
}
"""What may be written of an utterance, by its attribute, and the names that each may have in a data set."""

_LISTS = frozenset({"answers", "choices"})
_BETWEEN = "|"  # the items of a list where a table has room for one string only
WITHOUT_REFERENCES = "or judge by the model's own answers, which needs none (--metric agreement)"
SPEAKER_KEYS = ("speaker", "speaker_id", "client_id", "voice")


@dataclass(frozen=True)
class Row:
    """One utterance as its data set lists it; the audio may yet prove unusable. What is written of it is as in
    `Utterance`."""

    id: str
    source: Path | bytes
    speaker: str | None
    text: str | None = None
    question: str | None = None
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    translation: str | None = None
    words: tuple[Word, ...] | None = None

    def has(self, column: str) -> bool:
        """Whether more than white space is written in that one of `COLUMNS`."""
        value: str | tuple[str, ...] | None = getattr(self, column)
        return bool(value and (value if isinstance(value, tuple) else value.strip()))


@dataclass(frozen=True)
class Rows:
    """The rows of one split, read once and lazily."""

    split: str
    rows: Iterator[Row]


def written(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The part of a `Row` that is in words, from a line's values by key.

    Answers and choices are a list of strings, or one string with `|` between them. Numbers do for answers.

    Raises:
        DataError: a value is of another kind.
    """
    found: dict[str, Any] = {}
    for column, keys in COLUMNS.items():
        key = first_key(keys, values)
        if key is None or values[key] is None:
            continue
        value = values[key]
        if column in _LISTS:
            items = value.split(_BETWEEN) if isinstance(value, str) else value if isinstance(value, list) else [value]
            if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
                raise DataError(f"{where}: {key} must be a string or a list of strings, got {value!r}")
            found[column] = tuple(text for text in (str(item).strip() for item in items) if text)
        elif isinstance(value, str):
            found[column] = value
        else:
            raise DataError(f"{where}: {key} must be a string, got {value!r}")
    return found


def check_column(column: str | None, there: Collection[str], where: str) -> None:
    """Refuses a data set that lacks what is needed of each utterance; None where nothing is.

    Raises:
        DataError: none of the column's names is among the keys that are `there`.
    """
    if column is not None and first_key(COLUMNS[column], there) is None:
        expected, got = ", ".join(COLUMNS[column]), ", ".join(there)
        raise DataError(
            f"{where}: has no {column}; expected one of {expected}, got {got}; add it, {WITHOUT_REFERENCES}"
        )


def first_key(keys: Sequence[str], there: Collection[str]) -> str | None:
    """The first of ``keys`` that is there."""
    return next((key for key in keys if key in there), None)


def choose_split(wanted: str | None, there: Collection[str], where: str) -> str:
    """The split to read: the one asked for, or the only one there is.

    Raises:
        DataError: no such split, or several and none named (reading all of them would mix test data into tuning).
    """
    names = ", ".join(sorted(there))
    if wanted is None:
        if len(there) == 1:
            return next(iter(there))
        raise DataError(f"{where}: holds several splits ({names}); name the one to read")
    if wanted not in there:
        raise DataError(f"{where}: has no split {wanted!r}; there are: {names or 'none'}")
    return wanted
