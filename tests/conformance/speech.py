"""Recordings for the tiny models: slowly varying noise, so that neighbouring tokens are more alike than others."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from tuner.data.utterances import Utterance

RATE = 16_000


def recording(seconds: float, seed: int = 0) -> Utterance:
    """An utterance whose loudness and timbre drift, as WAV in memory."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(int(seconds * RATE))
    knots = np.arange(0, noise.size + RATE, RATE // 5)
    drift = np.interp(np.arange(noise.size), knots, generator.standard_normal(knots.size).cumsum() / 2)
    dull = np.convolve(noise, np.ones(8) / 8, mode="same")
    samples = 0.1 * np.exp(drift) * np.where(drift > 0, noise, dull)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples.clip(-1, 1), RATE, format="WAV")
    return Utterance(f"{seconds} s", "a reference", None, seconds, encoded.getvalue())


def recordings() -> list[Utterance]:
    """Three utterances of unequal length, the longest in the middle."""
    return [recording(1.3, 0), recording(2.2, 1), recording(0.6, 2)]
