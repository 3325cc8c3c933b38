"""Decoding, resampling and the digest of a set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import DataError


def tone(path: Path, hertz: float = 440.0, seconds: float = 0.5, rate: int = 16_000, channels: int = 1) -> Path:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


def utterance(source: Path | bytes) -> Utterance:
    return Utterance(id="a", text="hello", speaker=None, seconds=0.5, source=source)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_samples_are_mono_at_the_rate_asked_for(tmp_path: Path, rate: int, suffix: str) -> None:
    samples = utterance(tone(tmp_path / f"a{suffix}", hertz=440, seconds=1, rate=rate, channels=2)).samples(16_000)

    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(16_000, rel=0.1)  # mp3 may pad
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * 16_000 / len(samples) == pytest.approx(440, abs=2)


def test_bytes_decode_like_the_file_they_came_from(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.flac")

    np.testing.assert_array_equal(utterance(path.read_bytes()).samples(), utterance(path).samples())


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.wav: no such audio file"):
        utterance(tmp_path / "gone.wav").samples()


def test_digest_follows_content_and_not_place(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav")
    one = utterance(path)

    def digest(*utterances: Utterance) -> str:
        return UtteranceSet("data", "dev", utterances).digest

    moved = replace(one, source=path.read_bytes())
    louder = replace(one, source=tone(tmp_path / "b.wav", hertz=441))
    assert digest(one) == digest(moved)
    others = [{"text": "hi"}, {"id": "b"}, {"answers": ("x",)}, {"choices": ("x",)}, {"translation": "x"}]
    changed = [replace(one, **other) for other in others]  # type: ignore[arg-type]  # each fits its field
    assert len({digest(one), digest(louder), *(digest(other) for other in changed)}) == 7
    assert len(digest(one)) == 16
