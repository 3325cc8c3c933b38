"""How well a finished checkpoint does its three tasks, on the shipped splits and on human speech."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import soundfile

from tuner.data import sources
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel, load
from tuner.policy import Policy
from tuner.reference import questions, real, validation
from tuner.reference.corpus import Clip
from tuner.reference.spanish import translate
from tuner.tasks import asr, qa, translation
from tuner.tasks.base import Task
from tuner.tasks.ngrams import CHRF

STRINGS = 100  # of human digits


@dataclass(frozen=True)
class Measure:
    """One set: its size; the WER over plain words, and as `tune` counts it (Whisper's normaliser, which joins a string
    of digits into one word); the share of right answers; BLEU and chrF. All but `n` are fractions, None where the set
    does not tell."""

    name: str
    n: int
    words: float
    normalized: float
    accuracy: float | None = None
    bleu: float | None = None
    chrf: float | None = None


@dataclass(frozen=True)
class Slots:
    """Human orders and what was understood of them: the share of their slots, and of those with all slots right."""

    n: int
    each: float
    every: float


def measure(folder: Path, speech: Path | None) -> tuple[list[Measure], Slots | None]:
    """All sets there are for the checkpoint in `folder`; human speech only where its folder is given."""
    loaded = load(str(folder))
    found = [_measured(loaded, data) for data in _sets(speech)]
    return found, None if speech is None else _understood(loaded, speech)


def _measured(loaded: LoadedModel, data: UtteranceSet) -> Measure:
    texts = [utterance.text or "" for utterance in data.utterances]
    heard = _evaluated(loaded, asr.TASK, data)
    words = float(jiwer.wer(texts, [record.text for record in heard.records]))
    measured = Measure(f"{data.name}, {data.split}", len(texts), words, heard.quality)
    if any(utterance.translation is None for utterance in data.utterances):
        return measured
    answered = all(utterance.answers for utterance in data.utterances)
    spanish = _evaluated(loaded, translation.TASK, data)
    return Measure(
        measured.name,
        measured.n,
        words,
        heard.quality,
        _evaluated(loaded, qa.TASK, data).quality if answered else None,
        spanish.quality,
        float(CHRF.value(spanish.statistics.sum(axis=0))),
    )


def _understood(loaded: LoadedModel, speech: Path) -> Slots:
    orders = real.labelled_orders(speech, "dev")
    asked = []
    for number, (clip, slots) in enumerate(orders):
        for slot in questions.SLOTS:
            answer = slots.get(slot, questions.NONE)
            asked.append(_utterance(f"{number} {slot}", clip, question=f"Which {slot}?", answers=(answer,)))
    evaluation = _evaluated(loaded, qa.TASK, UtteranceSet("human coffee orders", "dev", tuple(asked)))
    right = evaluation.statistics[:, 0].reshape(len(orders), len(questions.SLOTS))
    return Slots(len(orders), float(right.mean()), float(np.all(right, axis=1).mean()))


def _evaluated(loaded: LoadedModel, task: Task, data: UtteranceSet) -> Evaluation:
    return Evaluator(loaded, task, data).evaluate(Policy.for_model(loaded.model, model_id="reference"))


def _sets(speech: Path | None) -> Iterator[UtteranceSet]:
    for split in validation.SIZES:
        yield sources.load("reference", split=split)
    if speech is None:
        return
    yield _from_clips("human coffee orders", real.orders(speech, "dev"))
    digits, rng = real.DigitStrings(speech, "dev"), random.Random(0)
    yield _from_clips("human digit strings", [digits.draw(rng) for _ in range(STRINGS)])


def _from_clips(name: str, clips: list[Clip]) -> UtteranceSet:
    utterances = tuple(
        _utterance(f"{name} {number}", clip, translation=translate(clip.text)) for number, clip in enumerate(clips)
    )
    return UtteranceSet(name, "dev", utterances)


def _utterance(name: str, clip: Clip, **more: object) -> Utterance:
    file = io.BytesIO()
    soundfile.write(file, clip.samples, real.RATE, format="WAV")
    return Utterance(name, clip.text, None, len(clip.samples) / real.RATE, file.getvalue(), **more)  # type: ignore[arg-type]
