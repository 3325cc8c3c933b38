"""Passes over prompts and the baseline's answers to them, each begun as deep in the model as what is kept allows."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import pairwise, takewhile

import torch
from torch import Tensor

from tuner.costs.memory import out_of_memory
from tuner.data.batches import batches
from tuner.evaluate.answers import ends_of, greedily, pad_of
from tuner.evaluate.evaluator import Evaluator, Inputs, Lengths
from tuner.evaluate.forced import Verdict, logits_at_last, rules_of, verdicts, with_answers
from tuner.evaluate.halving import Batch, in_batches
from tuner.evaluate.heard import Heard
from tuner.evaluate.keep import Keep
from tuner.evaluate.records import Evaluation
from tuner.evaluate.start import batch_of, begun_at, seen_at
from tuner.evaluate.ties import tie_of
from tuner.policy import Policy
from tuner.runtime.apply import PrefillLengths

log = logging.getLogger(__name__)

DEPTHS = (0.25, 0.5, 0.75)  # of the layers: where the baseline's states are kept, for policies that merge later only


class Passes:
    """One set of utterances with the baseline's answers as drafts, in fixed batches.

    Args:
        plain: evaluates by `generate()` alone.
        identity: the policy without sites.
        baseline: what the plain evaluator found for it.
        shares: of the utterances, ascending; each makes a rung after which a candidate may be given up.
        keep: where the encoder's output and the baseline's states are kept.
        progress: is told of each batch's size when its audio is encoded, and again when its drafts are.

    Attributes:
        rungs: batches, rung by rung; the utterances of each are a fixed draw from all lengths.
        heard: the audio, encoded; None where the model has to hear it anew, or cannot be asked about drafts.
        nats: of the baseline's answers under the baseline, by utterance id.
        tie: how close two tokens have to be for rounding to decide, as for `tuner.evaluate.ties.tied`.
    """

    def __init__(
        self,
        plain: Evaluator,
        identity: Policy,
        baseline: Evaluation,
        shares: Sequence[float],
        keep: Keep,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.plain, self.loaded = plain, plain.loaded
        self.tie = 0.0
        self.drafts = {record.id: self._draft(record.answer) for record in baseline.records}
        self._ends = set(ends_of(plain.loaded.model))
        self._identity, self._shares, self._keep = identity, tuple(shares), keep
        self._progress = progress or (lambda _: None)
        self.heard = self._hear()
        self.rungs = self._in_rungs()
        self.nats: dict[str, float] = {}
        self._listen_to_baseline()

    def run(
        self,
        batch: Batch,
        policy: Policy,
        start: AbstractContextManager[None] | None = None,
        until: int | None = None,
    ) -> list[Verdict]:
        """What the model, to which `policy` is applied, makes of a batch's drafts.

        Args:
            start: where the pass begins; otherwise as deep as the baseline's states allow.
            until: the layer where the caller stops it, before which it has to begin.
        """
        answers = [self.drafts[one.id] for one in batch]
        with ExitStack() as stack:
            if self.heard is None:
                inputs = with_answers(self.plain.prepared(batch), answers, pad_of(self.loaded.model))
                stack.enter_context(self.plain.encoding(batch))
            else:
                inputs = self.heard.inputs(batch, answers)
                latest = _first(policy) if until is None else min(_first(policy), until)
                start = start or self._start(self.heard, batch, inputs, latest)
            if start is not None:
                stack.enter_context(start)
            return verdicts(self.loaded.model, inputs, answers, self._ends, self.tie)

    def lengths(self, batch: Batch, found: PrefillLengths | None) -> list[Lengths]:
        """Tokens and audio tokens of each prompt by layer, from what was `found` of prompts with drafts."""
        return [
            (tuple(length - len(self.drafts[one.id]) for length in tokens), audio)
            for one, (tokens, audio) in zip(batch, self.plain.lengths(found), strict=True)
        ]

    def split(self, batch: Batch) -> list[Batch]:
        """Smaller batches, now and from now on: memory ran out."""
        parts = self.plain.split(batch)
        self.rungs = self._in_rungs()
        return parts

    @property
    def left_at_hand(self) -> int:
        """Bytes that could still be kept on the device."""
        return self._keep.left_at_hand

    def _draft(self, answer: Sequence[int]) -> list[int]:
        """The answer up to the first token that would be taken for audio in a prompt; any guess is better than none."""
        audio = self.loaded.speech.audio_token_id
        return list(takewhile(lambda token: token != audio, answer)) or [pad_of(self.loaded.model)]

    @property
    def _depths(self) -> list[int]:
        return sorted({round(share * self.loaded.speech.num_layers) for share in DEPTHS} - {0})

    def _start(self, heard: Heard, batch: Batch, inputs: Inputs, latest: int) -> AbstractContextManager[None]:
        """At the deepest layer up to `latest` where the baseline's states are kept, else at the embeddings."""
        for layer in reversed(self._depths):
            if layer <= latest and all((one.id, layer) in self._keep for one in batch):
                states = [self._keep.get((one.id, layer)) for one in batch]
                return begun_at(self.loaded.speech, layer, batch_of(states))
        return heard.placed(batch, inputs)

    def _listen_to_baseline(self) -> None:
        """The nats of the baseline's own answers; its states at a few depths are kept on the way."""
        with self._identity.applied(self.loaded.model), torch.inference_mode():

            def step(batch: Batch) -> None:
                with ExitStack() as stack:
                    for layer in self._depths if self.heard else ():
                        keep = partial(self._keep_states, batch, layer)
                        stack.enter_context(seen_at(self.loaded.speech, layer, keep))
                    found = self.run(batch, self._identity)
                self.nats |= {one.id: verdict.nats for one, verdict in zip(batch, found, strict=True)}
                self._progress(len(batch))

            for rung in self.rungs:
                in_batches(rung, step, self.split)

    def _keep_states(self, batch: Batch, layer: int, hidden: Tensor) -> None:
        if self.heard is None or not self._keep.has_room(hidden.nbytes):
            return
        for one, row in zip(batch, hidden.unbind(-3), strict=True):
            length = len(self.heard.ids[one.id]) + len(self.drafts[one.id])
            self._keep.put((one.id, layer), row[..., -length:, :])

    def _hear(self) -> Heard | None:
        """All audio, encoded and kept, where a pass over that says what a pass over the audio says."""
        model, plain, name = self.loaded.model, self.plain, self.loaded.id
        heard = Heard(self.loaded, self._keep)

        def hear(batch: Batch) -> None:
            with plain.encoding(batch):
                heard.hear(batch, plain.prepared(batch))
            self._progress(len(batch))

        in_batches(plain.batches, hear, plain.split)
        batch = plain.batches[-1]
        answers = [self.drafts[one.id] for one in batch]
        with torch.inference_mode(), self._identity.applied(model):
            if rules := rules_of(model, plain.prepared(batch)):
                log.warning("%s chooses tokens by %s: every candidate decodes everything", name, ", ".join(rules))
                return None
            inputs = with_answers(plain.prepared(batch), answers, pad_of(model))
            self.tie = self._measured_tie(batch, inputs)
            with plain.encoding(batch):
                expected = verdicts(model, inputs, answers, self._ends, self.tie)
            try:
                kept = heard.inputs(batch, answers)
                with heard.placed(batch, kept):
                    got = verdicts(model, kept, answers, self._ends, self.tie)
            except Exception as error:  # whatever the model's own code raises
                if out_of_memory(error):
                    raise
                log.warning(
                    "%s takes no audio that was encoded before (%s): every candidate hears it anew", name, error
                )
                return None
        close = torch.finfo(model.dtype).eps ** 0.5
        pairs = [(one.nats, other.nats) for one, other in zip(got, expected, strict=True)]
        if heard.ends_with_audio or any(abs(one - other) > close * (1 + other) for one, other in pairs):
            log.warning("%s: a pass over audio that was encoded before differs: every candidate hears it anew", name)
            return None
        plain.forget()
        return heard

    def _measured_tie(self, batch: Batch, inputs: Inputs) -> float:
        """From the baseline's logits for a batch's answers, step by step and in one pass over `inputs`."""
        model, lengths = self.loaded.model, [len(self.drafts[one.id]) for one in batch]
        config = greedily(model, max(lengths), output_logits=True, return_dict_in_generate=True)
        with self.plain.encoding(batch):
            said = model.generate(**self.plain.prepared(batch), generation_config=config)
        with self.plain.encoding(batch):
            at_once, _ = logits_at_last(model, inputs, max(lengths) + 1)
        return tie_of(torch.stack(said.logits, dim=1), at_once, lengths)

    def _in_rungs(self) -> list[list[Batch]]:
        if self.heard is None:
            return [self.plain.batches]  # what the encoder makes of an utterance may depend on its batch
        drawn = sorted(self.plain.data.utterances, key=lambda one: hashlib.blake2b(one.id.encode()).digest())
        ends = [0, *(round(share * len(drawn)) for share in self._shares), len(drawn)]
        return [batches(drawn[low:high], self.plain.batch_size) for low, high in pairwise(ends) if high > low]


def _first(policy: Policy) -> int:
    """The layer up to which `policy` does what the baseline does."""
    return policy.sites[0].layer if policy.sites else sys.maxsize
