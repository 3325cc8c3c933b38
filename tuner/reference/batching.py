"""The endless, seeded order in which clips are trained on: a fixed mixture, batches of similar length."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from tuner.reference.corpus import Clip
from tuner.reference.real import DigitStrings

POOL = 1_600  # clips sorted by length at a time
SHARES = {"orders": 0.08, "digits": 0.08}  # of real speech, where there is any

LONGEST = 8.6  # seconds: slowed down it still fits the window
SHORT = 2.5  # seconds
JOINED = 0.4  # share of clips followed by one or two others: long audio, and a change of voice in it


def batches(
    synthetic: list[Clip],
    orders: list[Clip],
    digits: DigitStrings | None,
    seconds: float,
    seed: int,
    start: int = 0,
    easy: int = 0,
) -> Iterator[list[Clip]]:
    """Batches of about `seconds` of audio each, from batch number `start` on; the same for the same seed.

    The first `easy` batches are short synthetic clips alone: an encoder learns to align on them much sooner.
    """
    short = [clip for clip in synthetic if len(clip.samples) < SHORT * 16_000]
    shuffle = random.Random(seed)
    for number in range(easy):
        batch = shuffle.choices(short, k=int(seconds / 2))
        if number >= start:
            yield batch
    number, pool = easy, 0
    while True:
        rng = random.Random(f"{seed}-{pool}")
        made = _pool(synthetic, orders, digits, seconds, rng)
        if number + len(made) > start:
            yield from made[max(start - number, 0) :]
        number += len(made)
        pool += 1


def _pool(
    synthetic: list[Clip], orders: list[Clip], digits: DigitStrings | None, seconds: float, rng: random.Random
) -> list[list[Clip]]:
    clips: list[Clip] = []
    for _ in range(POOL):
        kind = rng.random()
        if orders and kind < SHARES["orders"]:
            clips.append(rng.choice(orders))
        elif digits is not None and kind > 1 - SHARES["digits"]:
            clips.append(digits.draw(rng))
        elif kind < SHARES["orders"] + JOINED:
            clips.append(_joined(rng.choices(synthetic, k=rng.choice((2, 3)))))
        else:
            clips.append(rng.choice(synthetic))
    clips.sort(key=lambda clip: len(clip.samples) + rng.uniform(0, 4_000))
    made: list[list[Clip]] = []
    batch: list[Clip] = []
    for clip in clips:
        if batch and (len(batch) + 1) * len(clip.samples) > seconds * 16_000:
            made.append(batch)
            batch = []
        batch.append(clip)
    made.append(batch)
    rng.shuffle(made)
    return made


def _joined(clips: list[Clip]) -> Clip:
    """As many of the clips in a row as the window holds."""
    joined = clips[0]
    for clip in clips[1:]:
        if len(joined.samples) + len(clip.samples) <= LONGEST * 16_000:
            samples = np.concatenate([joined.samples, clip.samples])
            joined = Clip(f"{joined.text} {clip.text}", samples, "joined")
    return joined
