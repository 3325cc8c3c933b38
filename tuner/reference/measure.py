"""Word error rates of a finished checkpoint, on the shipped splits and on human speech."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jiwer
import soundfile

from tuner.data import sources
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.evaluate.evaluator import Evaluator
from tuner.loading import load
from tuner.policy import Policy
from tuner.reference import real, validation
from tuner.reference.corpus import Clip
from tuner.tasks.asr import TASK

STRINGS = 100  # of human digits


@dataclass(frozen=True)
class Measure:
    """One set: its size, the WER over plain words, and the WER as `tune` counts it (Whisper's normaliser, which joins
    a string of digits into one word)."""

    name: str
    n: int
    words: float
    normalized: float


def measure(folder: Path, speech: Path | None) -> list[Measure]:
    """All sets there are for the checkpoint in `folder`; human speech only where its folder is given."""
    loaded = load(str(folder))
    identity = Policy.for_model(loaded.model, model_id="reference")
    found = []
    for data in _sets(speech):
        evaluation = Evaluator(loaded, TASK, data).evaluate(identity)
        texts = [utterance.text or "" for utterance in data.utterances]
        words = float(jiwer.wer(texts, [record.text for record in evaluation.records]))
        found.append(Measure(f"{data.name}, {data.split}", len(texts), words, evaluation.quality))
    return found


def _sets(speech: Path | None) -> Iterator[UtteranceSet]:
    for split in validation.SIZES:
        yield sources.load("reference", split=split)
    if speech is None:
        return
    yield _from_clips("human coffee orders", real.orders(speech, "dev"))
    digits, rng = real.DigitStrings(speech, "dev"), random.Random(0)
    yield _from_clips("human digit strings", [digits.draw(rng) for _ in range(STRINGS)])


def _from_clips(name: str, clips: list[Clip]) -> UtteranceSet:
    utterances = []
    for number, clip in enumerate(clips):
        file = io.BytesIO()
        soundfile.write(file, clip.samples, real.RATE, format="WAV")
        seconds = len(clip.samples) / real.RATE
        utterances.append(Utterance(f"{name} {number}", clip.text, None, seconds, file.getvalue()))
    return UtteranceSet(name, "dev", tuple(utterances))
