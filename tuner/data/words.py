"""When each word of an utterance is spoken: forced alignments that a data set brings along."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tuner.errors import DataError

_EXPECTED = 'expected a list of [word, start, end] in seconds, such as [["two", 0.31, 0.52]]'


@dataclass(frozen=True)
class Word:
    """A word and where in the audio it is, in seconds."""

    text: str
    start: float
    end: float


def words_of(values: Any, where: str) -> tuple[Word, ...]:
    """Words from the plain lists of a manifest; none may begin before the one before it ends.

    Raises:
        DataError: they have another shape or order; `where` names the place.
    """
    try:
        words = tuple(Word(str(text), float(start), float(end)) for text, start, end in values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: words have another shape; {_EXPECTED}, got {str(values)[:80]}") from error
    borders = [0.0, *(border for word in words for border in (word.start, word.end))]
    if not all(earlier <= later for earlier, later in pairwise(borders)):
        raise DataError(f"{where}: words are not in the order of time; {_EXPECTED}, each after the one before it")
    return words


def read_words(path: Path) -> dict[str, tuple[Word, ...]]:
    """The words of many utterances by id, from a JSON file `{id: [[word, start, end], ...]}`; none where there is no
    such file.

    Raises:
        DataError: the file is not of that kind.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected the words of each utterance by its id, got a {type(content).__name__}")
    return {name: words_of(values, f"{path}, {name}") for name, values in content.items()}
