"""From the name of a data set to the utterances that can be used."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tuner.data.audio import decode
from tuner.data.folder import audio_files, read_folder
from tuner.data.hub import read_hub
from tuner.data.manifest import SUFFIXES as MANIFEST_SUFFIXES
from tuner.data.manifest import read_manifest
from tuner.data.rows import WITHOUT_REFERENCES, Row, Rows
from tuner.data.utterances import Skipped, Utterance, UtteranceSet
from tuner.data.words import read_words
from tuner.errors import DataError

log = logging.getLogger(__name__)

REFERENCE_MANIFEST = Path(__file__).parents[1] / "reference" / "data" / "manifest.jsonl"
REFERENCE_WORDS = REFERENCE_MANIFEST.with_name("words.json")
_NAMED_IN_ERRORS = 5


def load(
    dataset: str,
    config: str | None = None,
    split: str | None = None,
    max_bad: int = 0,
    column: str | None = "text",
    limit: int | None = None,
    max_seconds: float | None = None,
) -> UtteranceSet:
    """Read a data set and decode all of its audio once, so that nothing breaks in the middle of a search.

    Args:
        dataset: ``reference`` (the speech that is shipped), a ``.jsonl`` or ``.csv`` manifest, a folder of audio, or
            the id of a data set on the Hub.
        config: of a Hub data set.
        split: the split to read; may be left out where there is only one.
        max_bad: how many unusable utterances to put up with: broken, empty, silent, too long or without text. Each is
            logged and listed in ``skipped``.
        column: what an utterance must have (one of ``tuner.data.rows.COLUMNS``); None where the audio will do. One
            without a text is unusable; one without an answer or a translation is no part of the task and left out.
        limit: stop after this many usable utterances.
        max_seconds: the longest audio the model takes.

    Raises:
        DataError: the data set cannot be read, nothing in it is usable, or more than ``max_bad`` utterances are not.
    """
    found = _read(dataset, config, split, column)
    utterances: list[Utterance] = []
    skipped: list[Skipped] = []
    left_out = 0
    for row in found.rows:
        if limit is not None and len(utterances) == limit:
            break
        if column not in (None, "text") and not row.has(column):
            left_out += 1
            continue
        try:
            utterances.append(_usable(row, column, max_seconds))
        except DataError as error:
            log.warning("%s, %s: skipped %s: %s", dataset, found.split, row.id, error)
            skipped.append(Skipped(row.id, str(error)))
    if left_out:
        log.warning("%s, %s: %d utterances have no %s and are left out", dataset, found.split, left_out, column)
    if len(skipped) > max_bad or not utterances:
        where = f"{dataset}, split {found.split}"
        if left_out and not skipped:
            raise DataError(f"{where}: none of its {left_out} utterances has {column}; add it, {WITHOUT_REFERENCES}")
        raise DataError(_too_many_bad(where, len(utterances), skipped, max_bad))
    name = f"{dataset}:{config}" if config else dataset
    return UtteranceSet(name, found.split, tuple(utterances), tuple(skipped))


def _read(dataset: str, config: str | None, split: str | None, column: str | None) -> Rows:
    if dataset == "reference":
        if not REFERENCE_MANIFEST.is_file():
            raise DataError(f"reference: its data are not installed ({REFERENCE_MANIFEST}); install the package again")
        return _aligned(read_manifest(REFERENCE_MANIFEST, split, column), REFERENCE_WORDS)
    path = Path(dataset).expanduser()
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return read_manifest(path, split, column)
    if path.is_dir():
        # A local copy of a Hub data set keeps its audio inside parquet files.
        if not audio_files(path) and any(path.rglob("*.parquet")):
            return read_hub(str(path), config, split, column)
        return read_folder(path, split, column)
    if path.exists() or path.is_absolute() or dataset.startswith((".", "~")):
        problem = "is not a data set" if path.exists() else "does not exist"
        raise DataError(f"{path}: {problem}; expected a .jsonl or .csv manifest, a folder, a Hub id or 'reference'")
    return read_hub(dataset, config, split, column)


def _aligned(found: Rows, words: Path) -> Rows:
    """The rows with the words that a file has for them."""
    known = read_words(words)
    return Rows(found.split, (replace(row, words=known.get(row.id, row.words)) for row in found.rows))


def _usable(row: Row, column: str | None, max_seconds: float | None) -> Utterance:
    if column is not None and not row.has(column):
        raise DataError(f"no {column}")
    samples, rate = decode(row.source)
    seconds = samples.size / rate
    if max_seconds is not None and seconds > max_seconds:
        raise DataError(f"too long: {seconds:.1f} s, at most {max_seconds:.1f} s")
    return Utterance(
        row.id,
        row.text,
        row.speaker,
        seconds,
        row.source,
        question=row.question,
        answers=row.answers,
        choices=row.choices,
        translation=row.translation,
        words=row.words,
    )


def _too_many_bad(where: str, good: int, skipped: list[Skipped], max_bad: int) -> str:
    listed = "".join(f"\n  {bad.id}: {bad.reason}" for bad in skipped[:_NAMED_IN_ERRORS])
    more = len(skipped) - _NAMED_IN_ERRORS
    way_out = f", {WITHOUT_REFERENCES}" if any(bad.reason == "no text" for bad in skipped) else ""
    return (
        f"{where}: {len(skipped)} of {good + len(skipped)} utterances cannot be used, {max_bad} allowed (--max-bad). "
        f"Mend or remove them, or allow more{way_out}:{listed}" + (f"\n  and {more} more" if more > 0 else "")
    )
