"""What a model is tuned and judged on: spoken utterances and their texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tuner.data.audio import Samples, decode, resample
from tuner.data.words import Word


@dataclass(frozen=True)
class Utterance:
    """One recording and what is known of it.

    Attributes:
        id: unique within its set; the same on every machine that holds the same data.
        text: what is said, None where that is not known; the other references likewise.
        speaker: None where unknown.
        seconds: duration of the audio.
        source: an audio file, or the encoded bytes of one.
        question: in writing; None where the speech asks it, or where there is none.
        answers: the right ones, each as good as the other.
        choices: what to choose the answer from; an answer is one of them, or its letter.
        translation: of what is said.
        words: when each word is spoken, None where nobody aligned them.
        for_task: the name of the task that it is for, where there are several; else empty.
    """

    id: str
    text: str | None
    speaker: str | None
    seconds: float
    source: Path | bytes
    question: str | None = None
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    translation: str | None = None
    words: tuple[Word, ...] | None = None
    for_task: str = ""

    def samples(self, rate: int = 16_000) -> Samples:
        """Decode now: mono float32 samples ``[n]`` at ``rate`` Hz, nothing is kept.

        Raises:
            DataError: the audio can no longer be read.
        """
        return resample(*decode(self.source), rate)


@dataclass(frozen=True)
class Skipped:
    """An utterance that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class UtteranceSet:
    """The usable utterances of one split, in a fixed order, and those that were left out."""

    name: str
    split: str
    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.utterances)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change with any id, word written of it or byte of audio, and not with where files lie."""
        total = hashlib.blake2b(digest_size=8)
        for utterance in self.utterances:
            source = utterance.source
            audio = source if isinstance(source, bytes) else source.read_bytes()
            others = (utterance.question, utterance.answers, utterance.choices, utterance.translation)
            known = {place: value for place, value in enumerate(others) if value}
            total.update(repr((utterance.id, utterance.text, *known.items())).encode())
            total.update(hashlib.blake2b(audio).digest())
        return total.hexdigest()
