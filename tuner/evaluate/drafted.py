"""One policy over a set of utterances, exactly as by `generate()` and nearly at the price of one prefill.

What the baseline said is a draft: one pass over prompt and draft shows at every token at once whether a candidate would
have said the same (as speculative decoding does, https://arxiv.org/abs/2211.17192). Only where it would not, and from
there on, tokens are decoded one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import torch
from torch import Tensor

from tuner.data.batches import batches
from tuner.errors import ModelError, PolicyError
from tuner.evaluate.answers import ends_of, greedily, until_end
from tuner.evaluate.begun import Begun
from tuner.evaluate.evaluator import Evaluator, Rules, ids_of
from tuner.evaluate.forced import Verdict
from tuner.evaluate.halving import Batch, in_batches
from tuner.evaluate.heard import Heard
from tuner.evaluate.keep import Keep
from tuner.evaluate.passes import Passes
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.evaluate.retention import Retention, Traces
from tuner.evaluate.start import stopped_at
from tuner.evaluate.ties import Margins
from tuner.methods.base import Method, Seen
from tuner.methods.known import method_of
from tuner.policy import Policy
from tuner.runtime.apply import Entered, PrefillLengths
from tuner.runtime.forward import main_stream
from tuner.sites import MergeSite


@dataclass(frozen=True)
class Look:
    """A candidate after its pass: lengths and nats, and of each utterance what is known of its answer."""

    policy: Policy
    evaluation: Evaluation
    verdicts: Mapping[str, Verdict] = field(repr=False)
    rules: Rules | None = None


class Drafted:
    """Judges candidates on one set of utterances, always in the same batches.

    Where a model takes no audio that was encoded before, or has rules for choosing tokens that cannot be asked about a
    draft, the pass still tells lengths and nats, and answers come from the plain evaluator.

    Args:
        plain: evaluates by `generate()` alone.
        identity: the policy without sites.
        baseline: what the plain evaluator found for it.
        rungs: shares of the utterances after which a candidate may be given up, ascending.
        keep: where the encoder's output and the baseline's states are kept.
        progress: is told twice of each batch's size: when its audio is encoded, and when the baseline's answers are.

    Attributes:
        baseline: as given, with the nats of its own answers.
    """

    def __init__(
        self,
        plain: Evaluator,
        identity: Policy,
        baseline: Evaluation,
        rungs: Sequence[float] = (),
        keep: Keep | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._plain, self._loaded = plain, plain.loaded
        self._passes = Passes(plain, identity, baseline, rungs, keep or Keep(plain.loaded.device), progress)
        nats = self._passes.nats
        self.baseline = replace(baseline, records=tuple(replace(one, nats=nats[one.id]) for one in baseline.records))

    def evaluate(self, policy: Policy, rules: Rules | None = None) -> Evaluation:
        """What `policy` says, and what it costs; with `rules` deciding at its sites, where they are given."""
        return self.decode(self.look(policy, rules=rules))

    def look(
        self,
        policy: Policy,
        begun: Begun | None = None,
        give_up: Callable[[Evaluation], bool] | None = None,
        rules: Rules | None = None,
    ) -> Look:
        """The pass over all prompts and drafts.

        Args:
            policy: the candidate.
            begun: passes under the same sites but the last, to go on from.
            give_up: is asked after each rung but the last, with all that is known then, whether to leave it at that.
            rules: decide at the policy's sites in its place.
        """
        began = time.perf_counter()
        records: dict[str, UtteranceRecord] = {}
        found: dict[str, Verdict] = {}
        passes = self._passes
        with policy.applied(self._loaded.model) as handle, torch.inference_mode():

            def step(batch: Batch) -> None:
                if rules is not None:
                    handle.decide_by(rules(batch))
                start = None if begun is None else begun.go_on(self._loaded.speech, handle, batch)
                verdicts = passes.run(batch, policy, start)
                lengths = passes.lengths(batch, handle.lengths)
                for one, verdict, row in zip(batch, verdicts, lengths, strict=True):
                    found[one.id] = verdict
                    records[one.id] = UtteranceRecord.unanswered(one, *row, verdict.nats, len(passes.drafts[one.id]))

            for rung in passes.rungs:
                in_batches(rung, step, passes.split)
                evaluation = self._undecoded(policy, records, began)
                if give_up is not None and len(records) < len(passes.drafts) and give_up(evaluation):
                    break
        return Look(policy, replace(evaluation, ties=sum(one.ties for one in found.values())), found, rules)

    def decode(self, look: Look) -> Evaluation:
        """The whole evaluation: only what differs from the baseline's answers is decoded, from where it differs on."""
        began = time.perf_counter()
        known = {record.id: record for record in look.evaluation.records}
        if self._passes.heard is None:
            plain = self._plain.evaluate(look.policy, rules=look.rules)
            return replace(plain, records=tuple(replace(one, nats=known[one.id].nats) for one in plain.records))
        answers, ties = self._completed(look, self._passes.heard)
        spoken = self._plain.data.utterances
        texts = self._plain.task.decode(self._loaded.processor, spoken, [answers[one.id] for one in spoken])
        said = {one.id: text for one, text in zip(spoken, texts, strict=True)}
        records = tuple(
            self._plain.scored(
                one,
                said[one.id],
                answers[one.id],
                (known[one.id].tokens, known[one.id].audio_tokens),
                known[one.id].nats,
            )
            for one in spoken
        )
        seconds = look.evaluation.wall_seconds + time.perf_counter() - began
        return replace(
            look.evaluation, records=records, wall_seconds=seconds, decoded=True, ties=look.evaluation.ties + ties
        )

    def begin(self, policy: Policy, site: MergeSite) -> Begun:
        """Passes under `policy`, all of whose sites are before the layer of `site`, up to there: what such a site would
        find, whatever its threshold or ratio. `look` can go on from them, as far as there was room to keep their
        states.

        Raises:
            PolicyError: if what the site keeps depends on the layer's attention.
        """
        method, layer = method_of(site), site.layer
        began = time.perf_counter()
        records: dict[str, UtteranceRecord] = {}
        found: dict[str, Traces] = {}
        states: dict[tuple[str, ...], Entered] = {}
        passes, layers = self._passes, self._loaded.speech.num_layers
        with policy.applied(self._loaded.model) as handle, torch.inference_mode():
            handle.watch(layer)

            def step(batch: Batch) -> None:
                with stopped_at(self._loaded.speech, layer):
                    passes.run(batch, policy, until=layer)
                entered = handle.entered
                if entered is None:
                    raise ModelError(f"{self._loaded.id}: nothing entered its decoder layer {layer}")
                traces = _traces(method, entered)
                lengths = passes.lengths(batch, PrefillLengths.of(entered.begun, layers))
                for one, trace, free, row in zip(batch, traces, entered.tokens.mergeable.cpu(), lengths, strict=True):
                    found[one.id] = Traces(trace, free)
                    records[one.id] = UtteranceRecord.unanswered(one, *row, generated=len(passes.drafts[one.id]))
                if entered.hidden.nbytes + sum(one.hidden.nbytes for one in states.values()) <= passes.left_at_hand:
                    states[ids_of(batch)] = entered

            for rung in passes.rungs:
                in_batches(rung, step, passes.split)
        return Begun(layer, Retention(self._undecoded(policy, records, began), found, layer), states)

    def _completed(self, look: Look, heard: Heard) -> tuple[dict[str, list[int]], int]:
        """Every utterance's answer, decoded from where it differs from the draft on; and how many ties were met."""
        answers = {name: list(verdict.said) for name, verdict in look.verdicts.items()}
        ends, ties = set(ends_of(self._loaded.model)), 0
        limit = self._plain.task.limit

        def step(batch: Batch) -> None:
            nonlocal ties
            if look.rules is not None:
                handle.decide_by(look.rules(batch))
            begun = [answers[one.id] for one in batch]
            inputs, margins = heard.inputs(batch, begun), Margins(self._passes.tie)
            left = [limit(one) - len(answer) for one, answer in zip(batch, begun, strict=True)]
            config = greedily(self._loaded.model, max(left))
            with heard.placed(batch, inputs):
                output = self._loaded.model.generate(**inputs, generation_config=config, logits_processor=[margins])
            more = output[:, inputs["input_ids"].shape[1] :].tolist()
            cut = [until_end(tokens, ends, most) for tokens, most in zip(more, left, strict=True)]
            answers.update({one.id: [*answers[one.id], *tokens] for one, tokens in zip(batch, cut, strict=True)})
            ties += margins.ties([len(tokens) for tokens in cut])

        open_ended = [
            one
            for one in self._plain.data.utterances
            if answers[one.id][-1] not in ends and len(answers[one.id]) < limit(one)
        ]
        with look.policy.applied(self._loaded.model) as handle, torch.inference_mode():
            in_batches(batches(open_ended, self._plain.batch_size), step, self._passes.split)
        return answers, ties

    def _undecoded(self, policy: Policy, records: Mapping[str, UtteranceRecord], began: float) -> Evaluation:
        """What is known so far, in the split's order."""
        ordered = tuple(records[one.id] for one in self._plain.data.utterances if one.id in records)
        seconds, metric = time.perf_counter() - began, self._plain.task.metric
        return Evaluation(policy.hash, self._plain.data.split, ordered, seconds, decoded=False, metric=metric)


def _traces(method: Method, entered: Entered) -> Tensor:
    """[batch, tokens, width] on the CPU, of what entered a layer."""

    def attend() -> NoReturn:
        raise PolicyError("what this site keeps depends on its layer's attention, so it is not known beforehand")

    tokens = entered.tokens
    traces = method.traces(Seen(main_stream(entered.hidden), tokens.mergeable, tokens.real, attend))
    return attend() if traces is None else traces.cpu()
