"""Checks that compare numbers with the slow reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tuner.doctor.case import Case
from tuner.doctor.finding import Finding
from tuner.doctor.reference import Inputs, Reference
from tuner.doctor.running import apart, entering, forced
from tuner.policy import Policy


def rounding(case: Case) -> Finding:
    """How far the bare model's cached, batched passes are from the slow way without any policy: not ours."""
    alone = case.unmerged if case.speech.hears_alike else ()
    entered = _entering_apart(case, case.identity, [(case.speech.batch, case.unmerged)])
    return Finding(worst=max(entered.worst or 0.0, _logits_apart(case, case.identity, case.unmerged, alone)))


def merging(case: Case) -> Finding:
    """What enters each layer in the prefill of a left-padded batch is what each utterance alone gives the slow way."""
    answers = [(case.speech.batch, case.together), (case.speech.alone[0], case.alone[:1])]
    return _entering_apart(case, case.policy, answers)


def _entering_apart(case: Case, policy: Policy, answers: Sequence[tuple[Inputs, Sequence[Reference]]]) -> Finding:
    """Tokens kept by layer, and the worst difference in the hidden states that enter one."""
    worst = 0.0
    with policy.applied(case.model) as handle:
        for inputs, rows in answers:
            with entering(case.parts) as seen, torch.no_grad():
                case.model(**inputs)
            if handle.lengths is None or len(seen) != case.parts.num_layers:
                return Finding(wrong=f"{len(seen)} of {case.parts.num_layers} layers ran, lengths: {handle.lengths}")
            for row, one in enumerate(rows):
                kept = one.tokens, one.audio_tokens
                got = handle.lengths.tokens[row].tolist(), handle.lengths.audio_tokens[row].tolist()
                if got != kept:
                    return Finding(wrong=f"utterance {row} kept {got} tokens and audio tokens by layer, not {kept}")
                worst = max(worst, _rows_apart([entered[row] for entered in seen], one))
    return Finding(worst=worst)


def _rows_apart(seen: Sequence[Tensor], expected: Reference) -> float:
    """Of one utterance's prompt, over all layers, in units of the states' own size where that is above one.

    Layers that share a cache may have been given the prompt's end alone.
    """
    worst = 0.0
    for entered, slow in zip(seen, expected.hidden, strict=True):
        prompt = slow[: len(slow) - expected.continued]
        rows = min(len(prompt), len(entered))
        size = max(1.0, float(prompt.float().pow(2).mean().sqrt()))
        worst = max(worst, apart(entered[-rows:], prompt[-rows:]) / size)
    return worst


def decoding(case: Case) -> Finding:
    """Every step's logits in `generate()` are the slow way's; the layers hold what they should, the cache says so."""
    worst = _logits_apart(case, case.policy, case.together, case.alone)
    with case.policy.applied(case.model) as handle:
        _, cache = forced(case.model, case.speech.batch, case.speech.continuation)
        if handle.lengths is None:
            return Finding(wrong="no audio was seen in the prompt")
        entries = (handle.lengths.tokens.max(0).values + len(case.speech.continuation)).tolist()
    held = [_entries(layer) for layer in cache.layers]
    wrong = [layer for layer, got in enumerate(held) if got is not None and got != entries[layer]]
    if wrong:
        return Finding(wrong=f"the cache of layers {wrong} holds {[held[at] for at in wrong]} entries of {entries}")
    stands_for = case.speech.batch["input_ids"].shape[1] + len(case.speech.continuation)
    if cache.get_seq_length() != stands_for:
        return Finding(wrong=f"the cache says {cache.get_seq_length()} tokens, not {stands_for}")
    return Finding(worst=worst)


def _entries(layer: Any) -> int | None:
    """How many entries a layer's cache holds, None where it has no keys or forgets the oldest."""
    keys = getattr(layer, "keys", None)
    return None if keys is None or getattr(layer, "is_sliding", False) else int(keys.shape[-2])


def _logits_apart(case: Case, policy: Policy, together: Sequence[Reference], alone: Sequence[Reference]) -> float:
    """The worst difference in the logits of the batch and of utterances alone, at the prompt's end and after it."""
    words, worst = case.speech.continuation, 0.0
    with policy.applied(case.model):
        apiece = [(case.speech.alone[row], [answer]) for row, answer in enumerate(alone)]
        for inputs, rows in [(case.speech.batch, together), *apiece]:
            logits, _ = forced(case.model, inputs, words)
            for got, one in zip(logits, rows, strict=True):
                worst = max(worst, apart(got, one.logits[-len(words) - 1 :]))
    return worst


def follow_up(case: Case) -> Finding:
    """A turn of text after the answer, on the merged cache, continues as if all had been said at once."""
    one, words = case.speech.alone[0], list(case.speech.continuation)
    with case.policy.applied(case.model), torch.no_grad():
        _, cache = forced(case.model, one, words)
        ids = torch.tensor([words[::-1]], device=one["input_ids"].device)
        logits = case.model(input_ids=ids, past_key_values=cache, use_cache=True).logits
    expected = case.slowly(one, [*words, *words[::-1]]).logits[-len(words) :]
    return Finding(worst=apart(logits[0, -len(words) :], expected))


def labels(case: Case) -> Finding:
    """With labels every token gets a state again, and the loss is the slow way's."""
    one = case.speech.alone[0]
    labels = one["input_ids"].clone()
    labels[labels == case.parts.audio_token_id] = -100
    expected = case.slowly(one, labels=labels)
    with case.policy.applied(case.model), torch.no_grad():
        output = case.model(**one, labels=labels)
    if output.logits.shape[1] != labels.shape[1] or expected.loss is None:
        return Finding(wrong=f"{output.logits.shape[1]} logits for {labels.shape[1]} tokens")
    return Finding(worst=max(apart(output.loss, expected.loss), apart(output.logits[0], expected.logits)))
