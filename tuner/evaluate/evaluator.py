"""One policy over a set of utterances by plain `model.generate()`: transcripts, errors, lengths."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch

from tuner.costs.counted import encoder_flops
from tuner.data.batches import batches
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import ModelError
from tuner.evaluate.answers import ends_of, greedily, until_end
from tuner.evaluate.encoded import Encoded
from tuner.evaluate.halving import Batch, in_batches
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.loading import LoadedModel
from tuner.methods.base import Rule
from tuner.policy import Policy
from tuner.runtime.apply import Handle, PrefillLengths
from tuner.tasks.base import Task

log = logging.getLogger(__name__)

Inputs = dict[str, Any]
Lengths = tuple[tuple[int, ...], tuple[int, ...]]  # tokens and audio tokens by layer
Step = Callable[[Batch, Inputs, Handle], list[UtteranceRecord]]
Rules = Callable[
    [Batch], Rule
]  # what is decided at merge sites for the utterances of a batch, whatever the policy says


class Evaluator:
    """Judges policies on one fixed set of utterances, always in the same batches, so that candidates can be paired.

    When memory runs out the batch is halved for good and the evaluation goes on. With `encode_once` the audio encoder,
    which no policy changes, runs for the first candidate alone.

    Attributes:
        own: by utterance id, what the model says without a policy, where agreement with that is judged by.
        batches: the utterances, the longest first.
    """

    def __init__(
        self, loaded: LoadedModel, task: Task, data: UtteranceSet, batch_size: int = 16, *, encode_once: bool = False
    ) -> None:
        self.loaded, self.task, self.data = loaded, task, data
        self.batch_size = batch_size
        self.own: dict[str, str] = {}
        self._encoded = Encoded(loaded.speech) if encode_once else None
        self.batches = batches(data.utterances, batch_size)
        self._inputs: dict[tuple[str, ...], Inputs] = {}

    def evaluate(
        self, policy: Policy, progress: Callable[[int], None] | None = None, rules: Rules | None = None
    ) -> Evaluation:
        """Generates every answer under `policy` and scores it; `progress` is told of each batch's size when done."""
        return self._run(policy, self._generate, progress, rules)

    def prefill(self, policy: Policy, progress: Callable[[int], None] | None = None) -> Evaluation:
        """What `policy` costs, without an answer: one token each, and no statistics."""
        return self._run(policy, self._prefill, progress)

    @cached_property
    def encoder_flops(self) -> dict[str, float]:
        """FLOPs before the decoder by utterance id; padding is shared out evenly within a batch. Takes one pass of
        the audio encoder over all utterances, in the batches of the first time it is asked for."""
        found: dict[str, float] = {}
        for batch in self.batches:
            flops = encoder_flops(self.loaded.model, self.prepared(batch))
            found.update({utterance.id: flops / len(batch) for utterance in batch})
        return found

    def prepared(self, batch: Batch) -> Inputs:
        """The model inputs of a batch, on the device."""
        key = ids_of(batch)
        if key not in self._inputs:
            self._inputs[key] = dict(self.task.prepare(self.loaded.processor, batch))
        return self.loaded.on_device(self._inputs[key])

    def encoding(self, batch: Batch) -> AbstractContextManager[None]:
        """Within it a pass over the batch's inputs runs the audio encoder no more often than it has to."""
        return nullcontext() if self._encoded is None else self._encoded.remembered(ids_of(batch))

    def lengths(self, found: PrefillLengths | None) -> list[Lengths]:
        """A batch's tokens and audio tokens by layer, row by row.

        Raises:
            ModelError: nothing was found.
        """
        if found is None:
            raise ModelError(
                f"{self.loaded.id}: no audio tokens were seen in its prompt; is its processor the right one?"
            )
        rows = zip(found.tokens.tolist(), found.audio_tokens.tolist(), strict=True)
        return [(tuple(tokens), tuple(audio)) for tokens, audio in rows]

    def scored(
        self, utterance: Utterance, text: str, answer: Sequence[int], lengths: Lengths, nats: float | None = None
    ) -> UtteranceRecord:
        """The record of an answer, given as words and as token ids."""
        return UtteranceRecord(
            id=utterance.id,
            seconds=utterance.seconds,
            text=text,
            statistics=self.task.statistics(utterance, text, self.own.get(utterance.id)),
            tokens=lengths[0],
            audio_tokens=lengths[1],
            generated=len(answer),
            hit_limit=not set(ends_of(self.loaded.model)).intersection(answer),
            answer=tuple(answer),
            nats=nats,
        )

    def forget(self) -> None:
        """Lets go of inputs and of what the encoder said."""
        self._inputs.clear()
        if self._encoded is not None:
            self._encoded.forget()

    def split(self, batch: Batch) -> list[Batch]:
        """Two halves of a batch that memory was too small for; from now on all batches are smaller.

        Raises:
            ModelError: it is a single utterance.
        """
        if len(batch) == 1:
            raise ModelError(
                f"{self.loaded.id}: out of memory with a single utterance ({batch[0].id}, {batch[0].seconds:.1f} s); "
                "use --dtype bfloat16, shorter audio or a device with more memory"
            )
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) <= self.batch_size:
            self.batch_size = (len(batch) + 1) // 2
            self.batches = batches(self.data.utterances, self.batch_size)
            self.forget()
            log.warning("out of memory: going on with batches of %d", self.batch_size)
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]

    def _run(
        self, policy: Policy, step: Step, progress: Callable[[int], None] | None, rules: Rules | None = None
    ) -> Evaluation:
        began = time.perf_counter()
        records: dict[str, UtteranceRecord] = {}
        with policy.applied(self.loaded.model) as handle, torch.inference_mode():

            def each(batch: Batch) -> None:
                if rules is not None:
                    handle.decide_by(rules(batch))
                with self.encoding(batch):
                    made = step(batch, self.prepared(batch), handle)
                records.update({record.id: record for record in made})
                if progress is not None:
                    progress(len(batch))

            in_batches(self.batches, each, self.split)
        ordered = tuple(records[utterance.id] for utterance in self.data.utterances)
        return Evaluation(policy.hash, self.data.split, ordered, time.perf_counter() - began, metric=self.task.metric)

    def _generate(self, batch: Batch, inputs: Inputs, handle: Handle) -> list[UtteranceRecord]:
        limits = [self.task.limit(utterance) for utterance in batch]
        output = self.loaded.model.generate(**inputs, generation_config=greedily(self.loaded.model, max(limits)))
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends = set(ends_of(self.loaded.model))
        cut = [until_end(answer, ends, limit) for answer, limit in zip(answers, limits, strict=True)]
        texts = self.task.decode(self.loaded.processor, batch, cut)
        lengths = self.lengths(handle.lengths)
        return [self.scored(*row) for row in zip(batch, texts, cut, lengths, strict=True)]

    def _prefill(self, batch: Batch, inputs: Inputs, handle: Handle) -> list[UtteranceRecord]:
        self.loaded.model(**inputs, use_cache=False)
        lengths = self.lengths(handle.lengths)
        return [UtteranceRecord.unanswered(one, *row) for one, row in zip(batch, lengths, strict=True)]


def ids_of(batch: Sequence[Utterance]) -> tuple[str, ...]:
    """What tells one batch from another."""
    return tuple(utterance.id for utterance in batch)
