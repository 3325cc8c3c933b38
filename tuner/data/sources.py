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
from tuner.data.rows import WITHOUT_TEXTS, Row, Rows
from tuner.data.utterances import Skipped, Utterance, UtteranceSet
from tuner.data.words import read_words
from tuner.errors import DataError

log = logging.getLogger(__name__)

REFERENCE_MANIFEST = Path(__file__).parents[1] / "reference" / "data" / "manifest.jsonl"
REFERENCE_WORDS = REFERENCE_MANIFEST.with_name("words.json")
_NAMED_IN_ERRORS = 5
_NO_TEXT = "no text"


def load(
    dataset: str,
    config: str | None = None,
    split: str | None = None,
    max_bad: int = 0,
    need_text: bool = True,
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
        need_text: whether an utterance without a text is unusable.
        limit: stop after this many usable utterances.
        max_seconds: the longest audio the model takes.

    Raises:
        DataError: the data set cannot be read, nothing in it is usable, or more than ``max_bad`` utterances are not.
    """
    found = _read(dataset, config, split, need_text)
    utterances: list[Utterance] = []
    skipped: list[Skipped] = []
    for row in found.rows:
        if limit is not None and len(utterances) == limit:
            break
        try:
            utterances.append(_usable(row, need_text, max_seconds))
        except DataError as error:
            log.warning("%s, %s: skipped %s: %s", dataset, found.split, row.id, error)
            skipped.append(Skipped(row.id, str(error)))
    if len(skipped) > max_bad or not utterances:
        raise DataError(_too_many_bad(f"{dataset}, split {found.split}", len(utterances), skipped, max_bad))
    name = f"{dataset}:{config}" if config else dataset
    return UtteranceSet(name, found.split, tuple(utterances), tuple(skipped))


def _read(dataset: str, config: str | None, split: str | None, need_text: bool) -> Rows:
    if dataset == "reference":
        if not REFERENCE_MANIFEST.is_file():
            raise DataError(f"reference: its data are not installed ({REFERENCE_MANIFEST}); install the package again")
        return _aligned(read_manifest(REFERENCE_MANIFEST, split, need_text), REFERENCE_WORDS)
    path = Path(dataset).expanduser()
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return read_manifest(path, split, need_text)
    if path.is_dir():
        # A local copy of a Hub data set keeps its audio inside parquet files.
        if not audio_files(path) and any(path.rglob("*.parquet")):
            return read_hub(str(path), config, split, need_text)
        return read_folder(path, split, need_text)
    if path.exists() or path.is_absolute() or dataset.startswith((".", "~")):
        problem = "is not a data set" if path.exists() else "does not exist"
        raise DataError(f"{path}: {problem}; expected a .jsonl or .csv manifest, a folder, a Hub id or 'reference'")
    return read_hub(dataset, config, split, need_text)


def _aligned(found: Rows, words: Path) -> Rows:
    """The rows with the words that a file has for them."""
    known = read_words(words)
    return Rows(found.split, (replace(row, words=known.get(row.id, row.words)) for row in found.rows))


def _usable(row: Row, need_text: bool, max_seconds: float | None) -> Utterance:
    if need_text and not (row.text or "").strip():
        raise DataError(_NO_TEXT)
    samples, rate = decode(row.source)
    seconds = samples.size / rate
    if max_seconds is not None and seconds > max_seconds:
        raise DataError(f"too long: {seconds:.1f} s, at most {max_seconds:.1f} s")
    return Utterance(row.id, row.text, row.speaker, seconds, row.source, words=row.words)


def _too_many_bad(where: str, good: int, skipped: list[Skipped], max_bad: int) -> str:
    listed = "".join(f"\n  {bad.id}: {bad.reason}" for bad in skipped[:_NAMED_IN_ERRORS])
    more = len(skipped) - _NAMED_IN_ERRORS
    way_out = f", {WITHOUT_TEXTS}" if any(bad.reason == _NO_TEXT for bad in skipped) else ""
    return (
        f"{where}: {len(skipped)} of {good + len(skipped)} utterances cannot be used, {max_bad} allowed (--max-bad). "
        f"Mend or remove them, or allow more{way_out}:{listed}" + (f"\n  and {more} more" if more > 0 else "")
    )
