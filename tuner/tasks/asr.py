"""Speech recognition, judged by the word error rate."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.data.utterances import Utterance
from tuner.tasks import words
from tuner.tasks.base import Task
from tuner.tasks.metric import WER, Metric, Statistics


@dataclass(frozen=True)
class ASR(Task):
    """Word errors after Whisper's English normaliser, as the open ASR leaderboard counts them."""

    name: str = "asr"
    metric: Metric = WER
    prompt: str = "Transcribe the speech."
    transcribes: bool = True

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        return () if utterance.text is None else (utterance.text,)

    def score(self, utterance: Utterance, said: str) -> Statistics:
        """Errors, words of the text, and errors up to their number."""
        return words.word_errors(utterance.text or "", said, words.english)

    def strays(self, own: str, said: str) -> Statistics:
        return words.word_errors(own, said, words.english)


TASK = ASR()
