"""The shipped validation speech: splits `search`, `selection` and `test`, whose sentences and voices never meet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tuner.reference import grammar, speech, voices
from tuner.reference.annotate import annotated
from tuner.reference.voices import Voice

FOLDER = Path(__file__).parent / "data"
SIZES = {"search": 100, "selection": 100, "test": 200}
SEEDS = {"search": 101, "selection": 102, "test": 103}
TEST_REDRAWN = 303  # seed of the test split that ships: the two before it had been looked at too often
TRAINED = 40_000  # sentences, more than the shipped weights can have heard
SHORTEST, LONGEST = 1.5, 9.9  # seconds; cut into ten bins
LENGTHS = (15, 14, 13, 12, 11, 9, 8, 7, 6, 5)  # utterances in each bin, of a hundred: long audio is dear to ship
PEAK = (0.5, 0.9)


def candidates(split: str) -> list[tuple[str, str]]:
    """The sentences a split may draw from; no two splits share one, and training avoids them all.

    Test results of earlier draws were seen while the search was being made, so `test` was drawn anew. Training had
    begun by then: the new draw avoids whatever training may say, instead of the other way round.
    """
    draws = _draws()
    if split != "test":
        return draws[split]
    held_out = _texts(draws.values())
    trained = grammar.sentences(TRAINED, 1, held_out)
    return grammar.sentences(SIZES[split] * 12, TEST_REDRAWN, held_out | _texts([trained]))


def held_out_texts() -> frozenset[str]:
    """Every sentence that training must not hear."""
    return _texts([*_draws().values(), candidates("test")])


@cache
def _draws() -> dict[str, list[tuple[str, str]]]:
    drawn: dict[str, list[tuple[str, str]]] = {}
    for split, size in SIZES.items():
        drawn[split] = grammar.sentences(size * 12, SEEDS[split], _texts(drawn.values()))
    return drawn


def _texts(lists: Iterable[list[tuple[str, str]]]) -> frozenset[str]:
    return frozenset(text for sentences in lists for _, text in sentences)


@dataclass(frozen=True)
class Utterance:
    """One utterance of a split: mono samples at 16 kHz, as shipped but not yet rounded to 8 bits."""

    kind: str
    text: str
    voice: Voice
    samples: NDArray[np.float64]


def build(split: str, folder: Path = FOLDER) -> list[dict[str, object]]:
    """Speaks one split into `folder/<split>/*.flac`, 8 bits a sample, and returns its manifest rows."""
    speech.require_engines()
    (folder / split).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for number, one in enumerate(utterances(split)):
        name = f"{split}/{number:03}.flac"
        soundfile.write(folder / name, one.samples, speech.RATE, subtype="PCM_S8")
        rows.append(
            {
                "path": name,
                "split": split,
                "text": one.text,
                "kind": one.kind,
                "voice": one.voice.speaker,
                "accent": one.voice.name,
                "seconds": round(len(one.samples) / speech.RATE, 2),
            }
        )
    return rows


def utterances(split: str) -> Iterator[Utterance]:
    """Speaks a split's utterances in their order, the same ones every time.

    The range of lengths is cut into equal bins, each filled with the first sentences that fit. Light noise and (in the
    files) 8 bits a sample, which keep the package small, make it less clean than the synthesizer.
    """
    seed = TEST_REDRAWN if split == "test" else SEEDS[split]
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    room = {place: count * SIZES[split] // 100 for place, count in enumerate(LENGTHS)}
    waiting = iter(candidates(split))
    while any(room.values()):
        kind, text = _said_in_a_row(waiting, rng.choice((1, 1, 2, 3)), split)
        voice = voices.draw(rng, split)
        samples = speech.speak(text, voice)
        seconds = len(samples) / speech.RATE
        place = int((seconds - SHORTEST) / (LONGEST - SHORTEST) * len(LENGTHS))
        if not SHORTEST <= seconds < LONGEST or not room[place]:
            continue
        room[place] -= 1
        samples = samples / max(float(np.abs(samples).max()), 1e-6) * rng.uniform(*PEAK)
        level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-rng.uniform(30, 45) / 20)
        yield Utterance(kind, text, voice, np.clip(samples + level * noise.standard_normal(len(samples)), -1, 1))


def _said_in_a_row(waiting: Iterator[tuple[str, str]], count: int, split: str) -> tuple[str, str]:
    """The next `count` sentences as one: (kinds, text)."""
    said = list(islice(waiting, count))
    if len(said) < count:
        raise RuntimeError(f"{split}: too few candidate sentences to fill every length")
    return "+".join(kind for kind, _ in said), " ".join(text for _, text in said)


def build_all(folder: Path = FOLDER) -> None:
    """Makes all splits and `manifest.jsonl`."""
    rows = [annotated(row) for split in SIZES for row in build(split, folder)]
    (folder / "manifest.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    build_all()
