"""What a task is: an instruction for the model, what a right answer is, and how answers are scored.

A task of one's own is one small file, given as `--task my_task.py` or as an importable module, with a `TASK` in it:

    from dataclasses import dataclass
    from tuner.tasks.base import Task
    from tuner.tasks.metric import ACCURACY

    @dataclass(frozen=True)
    class Intent(Task):
        def reference(self, utterance):
            return utterance.answers

        def score(self, utterance, said):  # what the metric adds up; of a rate: its part, and the whole
            return float(said.strip().lower() in utterance.answers), 1.0

    TASK = Intent("intent", metric=ACCURACY, prompt="Which intent? Answer in one word.", column="answers")

A metric of one's own is a `tuner.tasks.metric.Metric` with a name that no other has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from transformers import BatchFeature

from tuner.data.batches import prepare
from tuner.data.prompts import decode
from tuner.data.utterances import Utterance
from tuner.tasks import words
from tuner.tasks.metric import DISAGREEMENT, Metric, Statistics
from tuner.tasks.prompts import PROMPTS


@dataclass(frozen=True)
class Task:
    """One instruction, and statistics per utterance that the metric is computed from.

    Attributes:
        name: as `--task` and policies have it.
        metric: what answers are judged by.
        prompt: the instruction that follows the audio.
        others: metrics of the same statistics that can be asked for instead.
        transcribes: whether the answer is the transcript, which some models are asked for in a way of their own.
        column: what an utterance must have: text, answers or translation (`tuner.data.rows.COLUMNS`).
        asked_anew: whether the prompt is the user's own, which no model family's takes the place of.
    """

    name: str
    metric: Metric
    prompt: str
    others: tuple[Metric, ...] = ()
    transcribes: bool = False
    column: str = "text"
    asked_anew: bool = False

    def with_prompt(self, prompt: str) -> Self:
        """The same task with another instruction, whatever the model."""
        return replace(self, prompt=prompt, asked_anew=True)

    def for_model(self, architecture: str) -> Self:
        """The task with the instruction that the model's family documents for it, if it does."""
        documented = PROMPTS.get(self.name, {}).get(architecture)
        return self if documented is None or self.asked_anew else replace(self, prompt=documented)

    def prompt_for(self, utterance: Utterance) -> str:
        """The instruction that follows the audio of one utterance."""
        return self.prompt

    def prepare(self, processor: Any, utterances: Sequence[Utterance]) -> BatchFeature:
        """Model inputs for one batch, see `tuner.data.batches.prepare`."""
        prompts = [self.prompt_for(utterance) for utterance in utterances]
        return prepare(processor, utterances, prompts, self.transcribes and not self.asked_anew)

    def decode(self, processor: Any, utterances: Sequence[Utterance], answers: Sequence[Sequence[int]]) -> list[str]:
        """The answers to the utterances in words, from their token ids."""
        return decode(processor, answers, self.transcribes)

    def limit(self, utterance: Utterance) -> int:
        """The most tokens that an answer to the utterance may have."""
        return self.max_new_tokens(utterance.seconds)

    def max_new_tokens(self, seconds: float) -> int:
        """The output length that no sound answer to this much audio exceeds: 16 and ten for every second, twice what
        fast speech needs."""
        return 16 + math.ceil(10 * seconds)

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        """The right answers; none where the data set does not tell."""
        raise NotImplementedError

    def score(self, utterance: Utterance, said: str) -> Statistics:
        """What `metric` and `others` are computed from, of one answer."""
        raise NotImplementedError

    def strays(self, own: str, said: str) -> Statistics:
        """How far an answer is from the model's `own` without a policy: errors, size, and errors up to it.

        Word errors, in any language and of translations too: a rate that means something for a single sentence.
        """
        return words.word_errors(own, said, words.plain)

    def statistics(self, utterance: Utterance, said: str, own: str | None = None) -> Statistics:
        """What `metric` is computed from. Where agreement is judged by, the model's `own` answer takes the place of the
        reference; until that is known, the answer is taken for it."""
        if self.metric != DISAGREEMENT:
            return self.score(utterance, said)
        return self.strays(said if own is None else own, said)
