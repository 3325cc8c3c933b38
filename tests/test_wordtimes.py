"""The word times of the shipped speech: whole, in order, right on the audio, and the synthesizer's own."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from tuner.errors import DataError
from tuner.reference import libespeak, wordtimes
from tuner.reference.validation import FOLDER, utterances
from tuner.reference.voices import Voice

ROWS = [json.loads(line) for line in (FOLDER / "manifest.jsonl").read_text().splitlines()]
TIMES = json.loads(wordtimes.FILE.read_text())
needs_engines = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")), reason="needs espeak-ng and flite"
)


def test_every_utterance_has_its_words_in_order_and_within_the_audio() -> None:
    assert list(TIMES) == [row["path"] for row in ROWS]
    for row in ROWS:
        words = TIMES[row["path"]]
        assert [word for word, _, _ in words] == row["text"].split()
        assert all(0 <= start < end for _, start, end in words)
        assert all(end == start for (_, _, end), (_, start, _) in pairwise(words))
        assert words[-1][2] <= soundfile.info(FOLDER / row["path"]).duration


@pytest.mark.parametrize("late", [0.0, -0.1, 0.1])
def test_words_that_begin_with_a_closed_mouth_begin_quietly(late: float) -> None:
    """Before p, t and k the sound stops: true of these times, and of no others 0.1 s earlier or later."""
    quiet = []
    for row in ROWS[::4]:
        samples, rate = soundfile.read(FOLDER / row["path"])
        for word, start, end in TIMES[row["path"]]:
            if word[0] in "ptk" and start > 0.2:
                around = loudness(samples, rate, start + late - 0.01, start + late + 0.03)
                quiet.append(around / loudness(samples, rate, start + late, end + late))
    assert len(quiet) > 100
    assert (np.median(quiet) < 0.5) == (late == 0)


def loudness(samples: np.ndarray, rate: int, start: float, end: float) -> float:
    return float(np.sqrt(np.mean(samples[int(start * rate) : int(end * rate)] ** 2)))


@pytest.mark.parametrize(
    ("text", "starts", "borders"),
    [
        ("red on it", {0: 0.0, 4: 0.4, 7: 0.6}, [0.0, 0.4, 0.6, 0.9]),
        ("go in the car", {0: 0.1, 3: 0.3, 10: 0.7}, [0.1, 0.3, 0.5, 0.7, 0.9]),  # "in the" said as one
        ("go in the", {0: 0.1, 3: 0.3}, [0.1, 0.3, 0.6, 0.9]),
        ("i live in rome", {0: 0.0, 2: 0.2, 3: 0.4, 10: 0.6}, [0.0, 0.2, 0.4, 0.6, 0.9]),  # "in" said to be at "ive"
    ],
)
def test_words_said_as_one_share_their_time(text: str, starts: dict[int, float], borders: list[float]) -> None:
    words = wordtimes.spread(text, starts, end=0.9)
    assert [word for word, _, _ in words] == text.split()
    assert [words[0][1], *(end for _, _, end in words)] == borders


@pytest.mark.parametrize("starts", [{0: 0.0, 1: 0.1, 2: 0.2}, {0: 0.0, 3: 0.5, 4: 0.6}])
def test_events_of_other_words_are_refused(starts: dict[int, float]) -> None:
    with pytest.raises(DataError, match="not in 'go on'"):
        wordtimes.spread("go on", starts, end=0.9)


@needs_engines
def test_speech_made_anew_has_the_shipped_times() -> None:
    for split in ("search", "selection"):
        first = next(utterances(split))
        (words,) = wordtimes.align([first])
        assert [list(word) for word in words] == TIMES[f"{split}/000.flac"]


def test_a_missing_library_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libespeak, "LIBRARY", "libespeak-none.so")
    with pytest.raises(DataError, match=r"libespeak-none\.so: run `apt-get install espeak-ng`"):
        libespeak.speak("one", Voice("espeak-ng", "en", "en", 170, 50))
