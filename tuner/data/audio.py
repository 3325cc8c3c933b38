"""Audio files and encoded bytes to mono samples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from tuner.errors import DataError

SUFFIXES = frozenset({".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"})
"""File names that are taken for audio; what soundfile (libsndfile) reads."""

MIN_SECONDS = 0.1
"""Shorter audio holds no word, and an encoder that strides over it may make no token of it at all."""

Samples = npt.NDArray[np.float32]


def decode(source: Path | bytes) -> tuple[Samples, int]:
    """Decode a file, or the bytes of one, to mono.

    Returns:
        Samples ``[n]`` at the file's own rate (the channels' mean), and that rate in Hz.

    Raises:
        DataError: the file is missing, broken, empty, too short, silent throughout or holds NaN or infinite samples.
    """
    name = str(source) if isinstance(source, Path) else f"{len(source)} bytes of encoded audio"
    if isinstance(source, Path) and not source.is_file():
        raise DataError(f"{name}: no such audio file")
    try:
        # From bytes in both cases: given a path, soundfile goes by its suffix rather than by what it holds.
        content = source if isinstance(source, bytes) else source.read_bytes()
        channels, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{name}: cannot be decoded as audio ({error}); soundfile reads wav, flac, mp3, ogg") from error
    samples: Samples = channels.mean(axis=1)
    if samples.size == 0:
        raise DataError(f"{name}: empty, it holds no samples")
    if samples.size < MIN_SECONDS * rate:
        raise DataError(f"{name}: too short, {samples.size / rate:.3f} s (at least {MIN_SECONDS} s)")
    if not np.isfinite(samples).all():
        raise DataError(f"{name}: holds NaN or infinite samples")
    if not samples.any():
        raise DataError(f"{name}: silent, every sample is zero")
    return samples, int(rate)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Samples ``[n]`` at ``rate`` Hz to ``[n * wanted / rate]`` at ``wanted`` Hz."""
    if rate == wanted:
        return samples
    resampled: Samples = soxr.resample(samples, rate, wanted)
    return resampled
