"""Where each word of the shipped speech is: `data/words.json`, {path: [[word, start, end], ...]} in seconds.

`python -m tuner.reference.wordtimes` says all utterances again and asks the synthesizer. A word ends where the next one
starts, the last where the voice does. Words that espeak-ng says as one (`in the`) share their time evenly.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from multiprocessing import get_context

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tuner.errors import DataError
from tuner.reference import libespeak, speech
from tuner.reference.libespeak import Spoken
from tuner.reference.validation import FOLDER, SIZES, Utterance, utterances

FILE = FOLDER / "words.json"
SILENT = 0.01  # of the peak; what `speech.speak` takes for silence at the ends
ROUNDING = 1 / 128  # the files have 8 bits a sample

Word = tuple[str, float, float]


def build() -> dict[str, list[Word]]:
    """The word times of every shipped utterance, by its path in the manifest.

    Raises DataError when a synthesizer is missing or does not say what ships.
    """
    speech.require_engines()
    rows = [json.loads(line) for line in (FOLDER / "manifest.jsonl").read_text().splitlines()]
    said = [one for split in SIZES for one in utterances(split)]
    for row, one in zip(rows, said, strict=True):
        _require_shipped(row["path"], row["text"], one)
    return {row["path"]: words for row, words in zip(rows, align(said), strict=True)}


def align(said: Sequence[Utterance]) -> list[list[Word]]:
    """The words of each utterance with their starts and ends, in seconds to three decimals."""
    with get_context("forkserver").Pool(maxtasksperchild=1) as pool:  # why: `libespeak.speak`
        spoken = pool.starmap(libespeak.speak, [(one.text, one.voice) for one in said], chunksize=1)
    return [_words(one, sound) for one, sound in zip(said, spoken, strict=True)]


def _require_shipped(path: str, text: str, one: Utterance) -> None:
    shipped, _ = soundfile.read(FOLDER / path)
    alike = text == one.text and shipped.shape == one.samples.shape
    if not alike or np.abs(shipped - one.samples).max() > ROUNDING:
        raise DataError(
            f"{path}: the synthesizer says {one.text!r} where {text!r} ships, or says it otherwise. Use the espeak-ng "
            "(1.51) and the grammar that made the speech, or make it anew with `python -m tuner.reference.validation`."
        )


def spread(text: str, starts: dict[int, float], end: float) -> list[Word]:
    """The words of `text` from {place in the text: seconds} of espeak-ng's word events and the end of the voice.

    A word without an event shares the time of the one before it. Raises DataError for events that fit no word.
    """
    words = text.split()
    places = list(accumulate((len(word) + 1 for word in words[:-1]), initial=0))
    # In "i live in" espeak-ng gives "in" the second letter of "live": a place within a word means the next word.
    known = {bisect_left(places, place): start for place, start in starts.items()}
    if len(known) < len(starts) or max(known) == len(words):
        raise DataError(f"espeak-ng says words that are not in {text!r}: {starts}")
    borders = np.interp(range(len(words) + 1), [*known, len(words)], [*known.values(), end]).round(3).tolist()
    return [(word, start, stop) for word, (start, stop) in zip(words, pairwise(borders), strict=True)]


def _words(one: Utterance, sound: Spoken) -> list[Word]:
    trimmed = speech.speak(one.text, one.voice)
    whole = soxr.resample(sound.samples.astype(np.float32) / 32768, sound.rate, speech.RATE)
    cut = _place(trimmed, whole) / speech.RATE
    starts = {place: max(sample / sound.rate - cut, 0.0) for place, sample in sound.starts.items()}
    voiced = np.flatnonzero(np.abs(trimmed) > SILENT * np.abs(trimmed).max())
    end = int(voiced[-1]) * 1000 // speech.RATE / 1000  # rounded down: a file may end there
    return spread(one.text, starts, end)


def _place(part: NDArray[np.float32], whole: NDArray[np.float32]) -> int:
    """Where the trimmed sound lies in the whole; that it is there shows that command and library say the same."""
    for start in range(len(whole) - len(part) + 1):
        if np.array_equal(whole[start : start + len(part)], part):
            return start
    raise DataError(f"{libespeak.LIBRARY} and the espeak-ng command speak differently: install both from one package.")


if __name__ == "__main__":
    rows = [f"{json.dumps(path)}: {json.dumps(words)}" for path, words in build().items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
