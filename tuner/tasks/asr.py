"""Speech recognition, judged by the word error rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from tuner.tasks.base import Score

_normalize = EnglishTextNormalizer({})


@dataclass(frozen=True)
class ASR:
    """Word errors after Whisper's English normaliser, as the open ASR leaderboard counts them.

    The normaliser lowers case, drops punctuation and fillers, spells contractions out and turns number words into
    digits ("twenty one" is one word, "21"). Its table of British and American spellings comes with Whisper's
    checkpoints, not with transformers, so it is left empty: "colour" for "color" is an error, for every policy alike.
    """

    name: str = "asr"
    metric: str = "wer"
    prompt: str = "Transcribe the speech."
    transcribes: bool = True

    def max_new_tokens(self, seconds: float) -> int:
        """16 and ten for every second: twice what fast speech needs, so only an output in a loop meets it."""
        return 16 + math.ceil(10 * seconds)

    def score(self, reference: str, hypothesis: str) -> Score:
        """Substituted, deleted and inserted words, and the reference's words.

        A reference that is empty after normalisation has a total of 0, and each word of the hypothesis is an error.
        """
        words = jiwer.process_words(_normalize(reference), _normalize(hypothesis))
        return Score(
            errors=words.substitutions + words.deletions + words.insertions,
            total=words.hits + words.substitutions + words.deletions,
        )


TASK = ASR()
