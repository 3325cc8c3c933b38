"""Made-up speech: noise that moves slowly, so that neighbouring audio tokens are more alike than strangers."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from tuner.data.utterances import Utterance

RATE = 16_000


def noise(seconds: float, seed: int) -> Utterance:
    """So much of it, the same for the same seed, as 16-bit WAV."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitches = 200 + 1500 * rng.random((3, 1)) + 300 * np.sin(2 * np.pi * (0.5 + rng.random((3, 1))) * time)
    samples = np.sin(2 * np.pi * np.cumsum(pitches, axis=1) / RATE).mean(0) + 0.1 * rng.standard_normal(time.size)
    file = io.BytesIO()
    soundfile.write(file, samples / np.abs(samples).max() * 0.9, RATE, format="WAV", subtype="PCM_16")
    return Utterance(f"noise-{seed}", "nothing", None, seconds, file.getvalue())
