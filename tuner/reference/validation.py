"""The shipped validation speech: splits `search`, `selection` and `test`, whose sentences and voices never meet."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import soundfile

from tuner.reference import grammar, speech, voices

FOLDER = Path(__file__).parent / "data"
SIZES = {"search": 100, "selection": 100, "test": 200}
SEEDS = {"search": 101, "selection": 102, "test": 103}
SHORTEST, LONGEST = 1.5, 9.9  # seconds; lengths are spread evenly between them


def candidates(split: str) -> list[tuple[str, str]]:
    """The sentences a split may draw from; no two splits share one, and training avoids them all."""
    taken: set[str] = set()
    for earlier in SIZES:
        drawn = grammar.sentences(SIZES[earlier] * 12, SEEDS[earlier], frozenset(taken))
        if earlier == split:
            return drawn
        taken |= {text for _, text in drawn}
    raise KeyError(split)


def held_out_texts() -> frozenset[str]:
    """Every sentence that training must not hear."""
    return frozenset(text for split in SIZES for _, text in candidates(split))


def build(split: str, folder: Path = FOLDER) -> list[dict[str, object]]:
    """Speaks one split into `folder/<split>/*.flac` and returns its manifest rows.

    The range of lengths is cut into equal bins, each filled with the first sentences that fit, so that short and long
    audio weigh the same. Light noise and gain make it less clean than the synthesizer.
    """
    speech.require_engines()
    rng = random.Random(SEEDS[split])
    noise = np.random.default_rng(SEEDS[split])
    (folder / split).mkdir(parents=True, exist_ok=True)
    bins = 10
    room = dict.fromkeys(range(bins), SIZES[split] // bins)
    rows: list[dict[str, object]] = []
    for kind, text in candidates(split):
        voice = voices.draw(rng, split)
        samples = speech.speak(text, voice)
        seconds = len(samples) / speech.RATE
        place = int((seconds - SHORTEST) / (LONGEST - SHORTEST) * bins)
        if not SHORTEST <= seconds < LONGEST or not room[place]:
            continue
        room[place] -= 1
        samples = samples / max(float(np.abs(samples).max()), 1e-6) * rng.uniform(0.3, 0.9)
        level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-rng.uniform(20, 40) / 20)
        samples = np.clip(samples + level * noise.standard_normal(len(samples)), -1, 1)
        name = f"{split}/{len(rows):03}.flac"
        soundfile.write(folder / name, samples, speech.RATE, subtype="PCM_16")
        rows.append({"path": name, "split": split, "text": text, "kind": kind, "voice": voice.speaker,
                     "accent": voice.name, "seconds": round(seconds, 2)})
    if any(room.values()):
        raise RuntimeError(f"{split}: too few candidate sentences to fill every length: {room}")
    return rows


def build_all(folder: Path = FOLDER) -> None:
    """Makes all splits and `manifest.jsonl`."""
    rows = [row for split in SIZES for row in build(split, folder)]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    build_all()
