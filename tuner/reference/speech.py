"""Text to speech with espeak-ng and flite, both in Debian's main archive: needed to train, never to run or test."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tuner.errors import DataError
from tuner.reference.voices import Voice

RATE = 16_000
FLITE_PITCH = {"kal16": 95.0, "awb": 120.0, "rms": 100.0, "slt": 175.0}  # Hz, near each voice's own


def require_engines() -> None:
    """Raises DataError with the install line when a synthesizer is missing."""
    missing = [engine for engine in ("espeak-ng", "flite") if shutil.which(engine) is None]
    if missing:
        raise DataError(f"Making speech needs {' and '.join(missing)}: run `apt-get install espeak-ng flite`.")


def speak(text: str, voice: Voice, espeak_data: Path | None = None) -> NDArray[np.float32]:
    """Mono samples at 16 kHz in [-1, 1], silence at both ends trimmed to a breath.

    `espeak_data` holds an espeak-ng-data folder with more voices than the installed one (`invented.data_path`).
    """
    data = _espeak(text, voice, espeak_data) if voice.engine == "espeak-ng" else _flite(text, voice)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    return _trim(np.asarray(samples, dtype=np.float32))


def _espeak(text: str, voice: Voice, espeak_data: Path | None) -> bytes:
    command = ["espeak-ng", "-v", voice.name, "-s", f"{voice.speed:.0f}", "-p", f"{voice.pitch:.0f}", "--stdout"]
    command += [f"--path={espeak_data}"] if espeak_data else []
    command += ["--", text]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _flite(text: str, voice: Voice) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        pitch = f"int_f0_target_mean={FLITE_PITCH[voice.name] * voice.pitch:.0f}"
        stretch = f"duration_stretch={voice.speed:.2f}"
        command = ["flite", "-voice", voice.name, "--setf", stretch, "--setf", pitch, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return path.read_bytes()


def _trim(samples: NDArray[np.float32], level: float = 0.01, breath: int = RATE // 10) -> NDArray[np.float32]:
    loud = np.flatnonzero(np.abs(samples) > level * max(float(np.abs(samples).max(initial=0.0)), 1e-6))
    if loud.size == 0:
        return samples
    return samples[max(int(loud[0]) - breath, 0) : int(loud[-1]) + breath]
