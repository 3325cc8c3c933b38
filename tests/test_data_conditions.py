"""Speech under other conditions: length, pitch, loudness of the noise, and the same each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.test_data_utterances import tone, utterance
from tuner.data.conditions import Condition, under
from tuner.data.utterances import UtteranceSet
from tuner.errors import DataError


def data(folder: Path) -> UtteranceSet:
    """Two tones of 440 Hz, of one second and of two."""
    one = replace(utterance(tone(folder / "a.wav", seconds=1)), seconds=1.0, answers=("x",), speaker="anna")
    two = replace(utterance(tone(folder / "b.wav", seconds=2)), id="b", seconds=2.0)
    return UtteranceSet("tones", "dev", (one, two))


@pytest.mark.parametrize("speed", [0.8, 1.1, 2.0])
def test_faster_speech_is_shorter_and_higher(tmp_path: Path, speed: float) -> None:
    plain, heard = data(tmp_path), under(data(tmp_path), Condition(speed=speed))
    for before, after in zip(plain.utterances, heard.utterances, strict=True):
        samples = after.samples(16_000)
        assert len(samples) == pytest.approx(16_000 * before.seconds / speed, abs=2)
        assert after.seconds == pytest.approx(before.seconds / speed)
        spectrum = np.abs(np.fft.rfft(samples))
        assert np.argmax(spectrum) * 16_000 / len(samples) == pytest.approx(440 * speed, rel=0.01)
        assert (after.id, after.answers, after.speaker) == (before.id, before.answers, before.speaker)


@pytest.mark.parametrize("decibels", [20.0, 10.0, 0.0])
def test_noise_is_as_loud_as_it_says_and_the_same_each_time(tmp_path: Path, decibels: float) -> None:
    plain, heard = data(tmp_path), under(data(tmp_path), Condition(noise=decibels))
    first, again = (
        heard.utterances[0].samples(),
        under(data(tmp_path), Condition(noise=decibels)).utterances[0].samples(),
    )
    speech = plain.utterances[0].samples()
    ratio = np.mean(np.square(speech)) / np.mean(np.square(first - speech))

    np.testing.assert_array_equal(first, again)
    assert 10 * np.log10(ratio) == pytest.approx(decibels, abs=0.3)
    other = heard.utterances[1].samples()[:16_000] - plain.utterances[1].samples()[:16_000]
    assert abs(np.corrcoef(first - speech, other)[0, 1]) < 0.05, "each utterance has noise of its own"


def test_the_speech_as_it_is_stays_the_very_same(tmp_path: Path) -> None:
    plain = data(tmp_path)

    assert under(plain, Condition()) is plain
    assert [one.name for one in (Condition(), Condition(speed=0.9), Condition(noise=10))] == [
        "as it is",
        "speed 0.9",
        "noise 10 dB",
    ]


def test_slow_speech_that_the_model_cannot_hear_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [one.id for one in under(data(tmp_path), Condition(speed=0.5), max_seconds=3.0).utterances] == ["a"]
    assert "1 utterances are too long" in caplog.text
    with pytest.raises(DataError, match=r"all 2 utterances are longer than the 1\.0 s"):
        under(data(tmp_path), Condition(speed=0.5), max_seconds=1.0)
    with pytest.raises(DataError, match="expected a factor such as"):
        Condition(speed=90)
