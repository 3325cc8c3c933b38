"""Human speech for training and measuring, where a folder of it is given: spoken coffee orders and digits.

The folder holds `manifest.jsonl` (path, text, speaker, split, corpus, seconds). Recordings longer than the model's
window are left out, which excludes all long readings.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tuner.reference.corpus import WINDOW, Clip

RATE = 16_000
LABELS = {"size": "size", "roast": "roast", "drink": "coffeeDrink"}  # the slots as the recordings' labels call them


def orders(folder: Path, split: str) -> list[Clip]:
    """The spoken coffee orders of `split` (train or dev) that have a transcript."""
    return [clip for clip, _ in labelled_orders(folder, split) if clip.text]


def labelled_orders(folder: Path, split: str) -> list[tuple[Clip, dict[str, str]]]:
    """All spoken coffee orders of `split`, transcribed ("" where not) or not, with what people noted of them: each of
    `questions.SLOTS` that is in it."""
    found = []
    for row in _rows(folder):
        if row["corpus"] == "commands" and row["split"] == split and row["seconds"] < WINDOW:
            slots = {name: row["slots"][label] for name, label in LABELS.items() if label in row["slots"]}
            found.append((Clip(row["text"] or "", _samples(folder, row), "real order"), slots))
    return found


class DigitStrings:
    """Strings of spoken digits put together from one speaker's single digits, with short pauses between."""

    def __init__(self, folder: Path, split: str) -> None:
        self.speakers: dict[str, list[Clip]] = defaultdict(list)
        for row in _rows(folder):
            if row["corpus"] == "digits" and row["split"] == split:
                self.speakers[row["speaker"]].append(Clip(row["text"], _samples(folder, row), "digit"))

    def draw(self, rng: random.Random, most: int = 9) -> Clip:
        """A string of 3 to `most` digits by one speaker."""
        speaker = rng.choice(sorted(self.speakers))
        digits = rng.choices(self.speakers[speaker], k=rng.randint(3, most))
        pieces: list[NDArray[np.int16]] = []
        for digit in digits:
            pieces += [digit.samples, np.zeros(int(rng.uniform(0.02, 0.25) * RATE), dtype=np.int16)]
        return Clip(" ".join(digit.text for digit in digits), np.concatenate(pieces), "real digits")


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def _samples(folder: Path, row: dict[str, Any]) -> NDArray[np.int16]:
    samples, rate = soundfile.read(folder / row["path"], dtype="int16")
    if rate != RATE:
        raise ValueError(f"{row['path']}: {rate} Hz, expected {RATE}")
    return np.asarray(samples, dtype=np.int16)
