"""Speech translation, judged by BLEU with chrF beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.data.utterances import Utterance
from tuner.tasks import ngrams
from tuner.tasks.base import Task
from tuner.tasks.metric import Metric, Statistics


@dataclass(frozen=True)
class Translation(Task):
    """N-grams of the answer against those of the utterance's `translation`, as sacrebleu counts them."""

    name: str = "translation"
    metric: Metric = ngrams.BLEU
    others: tuple[Metric, ...] = (ngrams.CHRF,)
    prompt: str = "Translate to Spanish."
    column: str = "translation"

    def max_new_tokens(self, seconds: float) -> int:
        """Half as many again as of a transcript: other languages split into more tokens."""
        return 24 + math.ceil(15 * seconds)

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        return () if utterance.translation is None else (utterance.translation,)

    def score(self, utterance: Utterance, said: str) -> Statistics:
        """BLEU's counts and chrF's, see `tuner.tasks.ngrams.count`."""
        return ngrams.count(utterance.translation or "", said)


TASK = Translation()
