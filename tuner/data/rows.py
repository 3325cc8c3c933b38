"""What every kind of data set is read into before its audio is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.data.words import Word
from tuner.errors import DataError

TEXT_KEYS = ("text", "sentence", "transcript", "transcription", "normalized_text")
WITHOUT_TEXTS = "or judge by the model's own transcripts, which needs no texts (--metric agreement)"
SPEAKER_KEYS = ("speaker", "speaker_id", "client_id", "voice")


@dataclass(frozen=True)
class Row:
    """One utterance as its data set lists it; the audio may yet prove unusable."""

    id: str
    source: Path | bytes
    text: str | None
    speaker: str | None
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of one split, read once and lazily."""

    split: str
    rows: Iterator[Row]


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
