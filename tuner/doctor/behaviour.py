"""Checks of what a model does under a policy: nothing, the same in another way, or refuse by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tuner.doctor.case import Case
from tuner.doctor.finding import Finding
from tuner.doctor.reference import Inputs, continued, greedy
from tuner.doctor.running import apart, forced, remains, said
from tuner.errors import PolicyError
from tuner.evaluate.answers import ends_of
from tuner.policy import MergeSite, Policy
from tuner.runtime.cache import MergedCache

NEW_TOKENS = 5


def identity(case: Case) -> Finding:
    """What merges nothing is bit-identical to the bare model and leaves the cache its class."""
    bare, _ = forced(case.model, case.speech.batch, case.speech.continuation)
    nothing_alike = tuple(MergeSite(layer=site.layer, threshold=1.0) for site in case.sites)
    for name, policy in {
        "no sites": case.identity,
        "nothing alike": Policy.for_model(case.model, nothing_alike),
        "all too short": Policy.for_model(case.model, case.sites, min_audio_tokens=1 << 30),
    }.items():
        with policy.applied(case.model) as handle:
            logits, cache = forced(case.model, case.speech.batch, case.speech.continuation)
        heard = int((case.speech.batch["input_ids"] == case.parts.audio_token_id).sum())
        if handle.lengths is not None and int(handle.lengths.audio_tokens[:, -1].sum()) < heard:
            continue  # some tokens are equal, such as those that stand for silence behind a clip
        if not torch.equal(logits, bare) or isinstance(cache, MergedCache):
            return Finding(wrong=f"{name}: {apart(logits, bare):.1e} from the bare model, {type(cache).__name__}")
    return Finding(worst=0.0)


def undoing(case: Case) -> Finding:
    """After `remove()`, after an exception and after two policies in turn the model is what it was."""
    model, batch, words = case.model, case.speech.batch, case.speech.continuation
    before, (bare, _) = remains(model), forced(model, batch, words)

    def fail(*_: Any) -> None:
        raise MemoryError

    with case.policy.applied(model):
        merged, _ = forced(model, batch, words)
        failing = case.parts.layers[-1].register_forward_pre_hook(fail)
        try:
            model(**batch)
        except MemoryError:
            pass
        finally:
            failing.remove()
        again, _ = forced(model, batch, words)
    other = Policy.for_model(model, case.sites[-1:], position="last")
    with other.applied(model):
        forced(model, batch, words)
    with case.policy.applied(model):
        in_turn, _ = forced(model, batch, words)
    wrong = [
        name
        for name, fine in {
            "the policy changes nothing": not torch.equal(merged, bare),
            "another result after a failed pass": torch.equal(again, merged),
            "another result after another policy": torch.equal(in_turn, merged),
            "something is left on the model": remains(model) == before,
            "the bare model says something else now": torch.equal(forced(model, batch, words)[0], bare),
        }.items()
        if not fine
    ]
    return Finding(wrong="; ".join(wrong))


def greedily(case: Case) -> Finding:
    """Free `generate()`, of the batch and of each alone, says what the slow way says; so does it with a cache of
    the user's own."""
    alone = [_slowly(case, one) for one in case.speech.alone]
    together = alone
    if not case.speech.hears_alike:
        together = [_slowly(case, *one) for one in zip(case.speech.alone, case.speech.heard, strict=True)]
    own = DynamicCache(config=case.parts.text_config)
    with case.policy.applied(case.model):
        wrong = [
            name
            for name, answers, expected in [
                ("the batch", said(case.model, case.speech.batch, NEW_TOKENS), together),
                ("each alone", [said(case.model, one, NEW_TOKENS)[0] for one in case.speech.alone], alone),
                ("a cache of one's own", said(case.model, case.speech.batch, NEW_TOKENS, own), together),
            ]
            if answers != expected
        ]
    return Finding(wrong=f"other words than the slow way's: {', '.join(wrong)}" if wrong else "")


def _slowly(case: Case, inputs: Inputs, heard: Tensor | None = None) -> list[int]:
    never, shape = [*ends_of(case.model), case.parts.audio_token_id], case.shape
    rules = partial(greedy, position=shape.position, proportional=shape.proportional)
    return rules(case.model, inputs, case.sites, NEW_TOKENS, never=never, heard=heard)


def without_cache(case: Case) -> Finding:
    """`use_cache=False`, which runs the whole prompt at every step, says the same."""
    return _same_words(case, case.speech.alone, use_cache=False)


def prompt_lookup(case: Case) -> Finding:
    """Assisted decoding with words looked up in the prompt says the same."""
    twice = case.speech.continuation * 2  # words that are found there, and not before audio, which models cannot draft
    return _same_words(case, [continued(one, twice) for one in case.speech.alone], prompt_lookup_num_tokens=3)


def beams(case: Case) -> Finding:
    """Beams of a padded batch are those of each utterance alone."""
    if not case.speech.hears_alike:
        return Finding(remark="its encoder hears an utterance otherwise in a batch")
    with case.policy.applied(case.model):
        together = said(case.model, case.speech.batch, NEW_TOKENS, num_beams=2)
        alone = [said(case.model, one, NEW_TOKENS, num_beams=2)[0] for one in case.speech.alone]
    return Finding(wrong="" if together == alone else f"{together} in a batch, {alone} alone")


def sampling(case: Case) -> Finding:
    """Sampling draws several answers to each utterance; among one word to choose from, the greedy one."""
    if _drawn_twice(case):
        return Finding(remark="the bare model itself mixes up the audio of several answers to one prompt")
    with case.policy.applied(case.model):
        wrong = _drawn_twice(case)
    return Finding(wrong=wrong)


def _drawn_twice(case: Case) -> str:
    """How two answers to each utterance, drawn from one word, are not the greedy one twice; empty where they are."""
    greedily = said(case.model, case.speech.batch, NEW_TOKENS)
    drawn = said(case.model, case.speech.batch, NEW_TOKENS, do_sample=True, top_k=1, num_return_sequences=2)
    return "" if drawn == [one for one in greedily for _ in range(2)] else f"{drawn}, not {greedily} twice"


def _same_words(case: Case, prompts: Sequence[Inputs], **options: Any) -> Finding:
    """Generating with the options says what it says without them, for the prompts with which the bare model can."""
    reason, able = "", []
    for one in prompts:
        reason = _cannot(case.model, one, **options)
        able += [] if reason else [one]
    with case.policy.applied(case.model):
        for one in able:
            plain, other = said(case.model, one, NEW_TOKENS), said(case.model, one, NEW_TOKENS, **options)
            if plain != other:
                return Finding(wrong=f"{other}, not {plain}")
    return Finding(remark="" if able else reason)


def _cannot(model: Any, inputs: Inputs, **options: Any) -> str:
    """Why the bare model cannot generate with these options, empty where it can."""
    try:
        said(model, inputs, NEW_TOKENS, **options)
    except Exception as error:  # whatever transformers says to it
        return f"the bare model cannot: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
    return ""


def static_cache(case: Case) -> Finding:
    """A static cache, which merging cannot shorten, is refused by name."""
    options = {"cache_implementation": "static", "disable_compile": True}
    if reason := _cannot(case.model, case.speech.alone[0], **options):
        return Finding(remark=reason)
    try:
        with case.policy.applied(case.model):
            said(case.model, case.speech.alone[0], NEW_TOKENS, **options)
    except PolicyError:
        return Finding(remark="refused by name")
    return Finding(wrong="it ran, though merging cannot shorten it")
