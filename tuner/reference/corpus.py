"""The synthetic training speech on disk: shards of 16-bit samples, made once, continued after an interruption."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from tuner.reference import grammar, invented, speech, voices

SHARD = 500
WINDOW = 10.0  # seconds the model can hear


@dataclass(frozen=True)
class Clip:
    """One training utterance: its text and a view of its 16-bit samples at 16 kHz."""

    text: str
    samples: NDArray[np.int16]
    kind: str


def build(folder: Path, count: int, seed: int, avoid: frozenset[str]) -> list[Clip]:
    """Speaks `count` sentences (none in `avoid`) into `folder`; finished shards are kept. Returns all clips."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = grammar.sentences(count, seed, avoid)
    shards = [spoken[start : start + SHARD] for start in range(0, count, SHARD)]
    clips: list[Clip] = []
    with Progress() as progress, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        bar = progress.add_task("speaking", total=len(shards))
        for number, shard in enumerate(shards):
            index, audio = folder / f"{seed}-{number:04}.json", folder / f"{seed}-{number:04}.npy"
            if not index.exists():
                speech.require_engines()
                _write(index, audio, shard, f"{seed}-{number}", pool, invented.data_path(folder / "espeak"))
            clips += _read(index, audio)
            progress.advance(bar)
    return clips


def _write(
    index: Path, audio: Path, shard: list[tuple[str, str]], seed: str, pool: ThreadPoolExecutor, data: Path
) -> None:
    rng = random.Random(seed)
    drawn = [voices.draw(rng, "train") for _ in shard]
    made = list(pool.map(speech.speak, [text for _, text in shard], drawn, repeat(data)))
    rows, kept, start = [], [], 0
    for (kind, text), voice, samples in zip(shard, drawn, made, strict=True):
        if not 0.4 < len(samples) / speech.RATE < WINDOW:
            continue
        rows.append({"kind": kind, "text": text, "voice": voice.name, "start": start, "length": len(samples)})
        kept.append((samples * (0.9 / max(float(np.abs(samples).max()), 1e-6)) * 32767).astype(np.int16))
        start += len(samples)
    np.save(audio, np.concatenate(kept))
    index.write_text(json.dumps(rows))  # last: its presence says that the shard is whole


def _read(index: Path, audio: Path) -> list[Clip]:
    samples = np.load(audio, mmap_mode="r")
    return [
        Clip(row["text"], samples[row["start"] : row["start"] + row["length"]], row["kind"])
        for row in json.loads(index.read_text())
    ]
