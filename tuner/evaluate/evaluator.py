"""One policy over a set of utterances by plain `model.generate()`: transcripts, errors, lengths."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import GenerationConfig

from tuner.costs.counted import encoder_flops
from tuner.costs.memory import out_of_memory
from tuner.data.batches import batches, prepare
from tuner.data.prompts import decode
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import ModelError
from tuner.evaluate.answers import ends_of, pad_of
from tuner.evaluate.encoded import Encoded
from tuner.evaluate.forced import nats, with_answers
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.evaluate.retention import Similarities
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.runtime.affinity import similarities
from tuner.tasks.base import Task

log = logging.getLogger(__name__)

Inputs = dict[str, Any]
Step = Callable[[list[Utterance], Inputs], list[UtteranceRecord]]


class Evaluator:
    """Judges policies on one fixed set of utterances, always in the same batches, so that candidates can be paired.

    When memory runs out the batch is halved for good and the evaluation goes on. With `encode_once` the audio encoder,
    which no policy changes, runs for the first candidate alone.
    """

    def __init__(
        self, loaded: LoadedModel, task: Task, data: UtteranceSet, batch_size: int = 16, *, encode_once: bool = False
    ) -> None:
        self.loaded, self.task, self.data = loaded, task, data
        self.batch_size = batch_size
        self._encoded = Encoded(loaded.speech) if encode_once else None
        self._batches = batches(data.utterances, batch_size)
        self._inputs: dict[tuple[str, ...], Inputs] = {}

    def evaluate(self, policy: Policy, progress: Callable[[int], None] | None = None) -> Evaluation:
        """Generates every answer under `policy` and scores it; `progress` is told of each batch's size when done."""
        return self._run(policy, self._generate, progress)

    def prefill(self, policy: Policy, progress: Callable[[int], None] | None = None) -> Evaluation:
        """What `policy` costs, without an answer: one token each, errors and words zero."""
        return self._run(policy, self._prefill, progress)

    def similarities(self, policy: Policy, layer: int, window: int) -> tuple[Evaluation, dict[str, Similarities]]:
        """`prefill`, and by utterance id how alike the tokens are that enter `layer`, where `policy` has no site."""
        found: dict[str, Similarities] = {}

        def look(batch: list[Utterance], inputs: Inputs) -> list[UtteranceRecord]:
            records = self._prefill(batch, inputs)
            if self._handle.entered is None:
                raise ModelError(f"{self.loaded.id}: nothing entered its decoder layer {layer}")
            hidden, tokens = self._handle.entered
            similar = similarities(hidden, window).cpu()
            for one, rows, mergeable in zip(batch, similar, tokens.mergeable.cpu(), strict=True):
                found[one.id] = Similarities(rows, mergeable)
            return records

        return self._run(policy, look, None, watch=layer), found

    def surprise(self, policy: Policy, answers: Mapping[str, str]) -> dict[str, float]:
        """How unlikely `answers` (by utterance id) are under `policy`: nats by utterance id, from one pass each."""
        found: dict[str, float] = {}
        ends = sorted(set(ends_of(self.loaded.model)))
        tokenizer = self.loaded.processor.tokenizer

        def force(batch: list[Utterance], inputs: Inputs) -> list[UtteranceRecord]:
            said = [tokenizer.encode(answers[one.id], add_special_tokens=False) for one in batch]
            output = self.loaded.model(**with_answers(inputs, said, pad_of(self.loaded.model)), use_cache=False)
            found.update(zip(_ids(batch), nats(output.logits, said, ends), strict=True))
            return self._costs_alone(batch)

        self._run(policy, force, None)
        return found

    def encoder_flops(self) -> dict[str, float]:
        """FLOPs before the decoder by utterance id; padding is shared out evenly within a batch."""
        found: dict[str, float] = {}
        for batch in self._batches:
            flops = encoder_flops(self.loaded.model, self._prepared(batch))
            found.update({utterance.id: flops / len(batch) for utterance in batch})
        return found

    def _run(
        self, policy: Policy, step: Step, progress: Callable[[int], None] | None, watch: int | None = None
    ) -> Evaluation:
        began = time.perf_counter()
        records: dict[str, UtteranceRecord] = {}
        waiting = deque(self._batches)
        with policy.applied(self.loaded.model) as handle, torch.inference_mode():
            self._handle = handle
            if watch is not None:
                handle.watch(watch)
            while waiting:
                batch = waiting.popleft()
                try:
                    with self._encoding(batch):
                        made = step(batch, self._prepared(batch))
                except (torch.OutOfMemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    waiting.extendleft(reversed(self._halve(batch)))
                    continue
                records.update({record.id: record for record in made})
                if progress is not None:
                    progress(len(batch))
        ordered = tuple(records[utterance.id] for utterance in self.data.utterances)
        return Evaluation(policy.hash, self.data.split, ordered, time.perf_counter() - began)

    def _encoding(self, batch: list[Utterance]) -> AbstractContextManager[None]:
        return nullcontext() if self._encoded is None else self._encoded.remembered(_ids(batch))

    def _generate(self, batch: list[Utterance], inputs: Inputs) -> list[UtteranceRecord]:
        limits = [self.task.max_new_tokens(utterance.seconds) for utterance in batch]
        output = self.loaded.model.generate(**inputs, generation_config=self._generation(max(limits)))
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends = set(ends_of(self.loaded.model))
        cut = [_until_end(answer, ends, limit) for answer, limit in zip(answers, limits, strict=True)]
        texts = decode(self.loaded.processor, cut, self.task.transcribes)
        hit = [not ends.intersection(answer) for answer in cut]
        return self._records(batch, texts, [len(answer) for answer in cut], hit)

    def _prefill(self, batch: list[Utterance], inputs: Inputs) -> list[UtteranceRecord]:
        self.loaded.model(**inputs, use_cache=False)
        return self._costs_alone(batch)

    def _costs_alone(self, batch: list[Utterance]) -> list[UtteranceRecord]:
        tokens, audio = self._lengths()
        return [
            UtteranceRecord(one.id, one.seconds, "", 0, 0, tokens[row], audio[row], 1, False)
            for row, one in enumerate(batch)
        ]

    def _records(
        self, batch: Sequence[Utterance], texts: Sequence[str], generated: Sequence[int], hit: Sequence[bool]
    ) -> list[UtteranceRecord]:
        tokens, audio = self._lengths()
        records = []
        for row, utterance in enumerate(batch):
            score = self.task.score(utterance.text or "", texts[row])
            records.append(
                UtteranceRecord(
                    id=utterance.id,
                    seconds=utterance.seconds,
                    text=texts[row],
                    errors=score.errors,
                    total=score.total,
                    tokens=tokens[row],
                    audio_tokens=audio[row],
                    generated=generated[row],
                    hit_limit=hit[row],
                )
            )
        return records

    def _lengths(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        lengths = self._handle.lengths
        if lengths is None:
            raise ModelError(
                f"{self.loaded.id}: no audio tokens were seen in its prompt; is its processor the right one?"
            )
        return [tuple(row) for row in lengths.tokens.tolist()], [tuple(row) for row in lengths.audio_tokens.tolist()]

    def _generation(self, limit: int) -> GenerationConfig:
        """Greedy decoding with the checkpoint's own end and padding tokens and none of its sampling."""
        end = self.loaded.model.generation_config.eos_token_id
        return GenerationConfig(
            max_new_tokens=limit, do_sample=False, num_beams=1, eos_token_id=end, pad_token_id=pad_of(self.loaded.model)
        )

    def _prepared(self, batch: list[Utterance]) -> Inputs:
        key = _ids(batch)
        if key not in self._inputs:
            self._inputs[key] = dict(prepare(self.loaded.processor, batch, self.task.prompt, self.task.transcribes))
        return self.loaded.on_device(self._inputs[key])

    def _halve(self, batch: list[Utterance]) -> list[list[Utterance]]:
        if len(batch) == 1:
            raise ModelError(
                f"{self.loaded.id}: out of memory with a single utterance ({batch[0].id}, {batch[0].seconds:.1f} s); "
                "use --dtype bfloat16, shorter audio or a device with more memory"
            )
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) <= self.batch_size:
            self.batch_size = (len(batch) + 1) // 2
            self._batches = batches(self.data.utterances, self.batch_size)
            self._inputs.clear()
            if self._encoded is not None:
                self._encoded.forget()
            log.warning("out of memory: going on with batches of %d", self.batch_size)
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]


def _ids(batch: Sequence[Utterance]) -> tuple[str, ...]:
    return tuple(utterance.id for utterance in batch)


def _until_end(answer: Sequence[int], ends: set[int], limit: int) -> list[int]:
    """The tokens up to and with the first end token, `limit` at most: what the utterance would say alone."""
    stop = next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))
    return list(answer[: min(stop, limit)])
