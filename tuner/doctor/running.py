"""Ways to run a model that checks compare: made to say given tokens, or free, and what enters its layers meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, GenerationConfig, LogitsProcessor

from tuner.doctor.reference import Inputs, first_stream
from tuner.evaluate.answers import of_length
from tuner.runtime.models import SpeechModel, describe


class _Says(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Leaves no choice but the given tokens, one after the other; after them anything."""

    def __init__(self, tokens: Sequence[int], prompt: int) -> None:
        self.tokens, self.prompt = tokens, prompt

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        step = ids.shape[1] - self.prompt
        if step >= len(self.tokens):
            return scores
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.tokens[step]] = 0
        return forced


@torch.no_grad()
def forced(model: Any, inputs: Inputs, tokens: Sequence[int]) -> tuple[Tensor, Any]:
    """Makes `generate()` say `tokens`: the logits [batch, 1 + tokens, vocabulary] at the prompt's end and after each of
    them, and the cache."""
    output = model.generate(
        **inputs,
        generation_config=_generation(model, len(tokens) + 1, output_logits=True, return_dict_in_generate=True),
        logits_processor=[_Says(tokens, inputs["input_ids"].shape[1])],
    )
    return torch.stack(output.logits, dim=1), output.past_key_values


@torch.no_grad()
def said(model: Any, inputs: Inputs, new_tokens: int, cache: Cache | None = None, **options: Any) -> list[list[int]]:
    """The new tokens of each utterance, the likeliest unless the options (of a GenerationConfig) say otherwise."""
    given = {} if cache is None else {"past_key_values": cache}
    output = model.generate(**inputs, **given, generation_config=_generation(model, new_tokens, **options))
    answers: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
    return answers


def _generation(model: Any, new_tokens: int, **options: Any) -> GenerationConfig:
    """Never a token that stands for audio, which the next pass would take for some."""
    return of_length(model, new_tokens, suppress_tokens=[describe(model).audio_token_id], **options)


@contextmanager
def entering(speech: SpeechModel) -> Iterator[list[Tensor]]:
    """The hidden states [batch, entries, hidden] that enter each layer of the next pass, in the order of the layers."""
    seen: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(first_stream(args[0]))

    with ExitStack() as stack:
        for layer in speech.layers:
            stack.callback(layer.register_forward_pre_hook(look).remove)
        yield seen


@torch.no_grad()
def entering_decoder(speech: SpeechModel, inputs: Inputs) -> Tensor:
    """What enters the decoder of the bare model, [batch, tokens, hidden]; of a decoder that embeds the audio itself,
    what enters its first layer."""
    seen: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if module is speech.layers[0] else kwargs.get("inputs_embeds")
        seen.extend([] if given is None else [given])

    with ExitStack() as stack:
        for module in (speech.decoder, speech.layers[0]):
            stack.callback(module.register_forward_pre_hook(look, with_kwargs=True).remove)
        speech.root(**inputs, use_cache=False)
    return seen[0]


def remains(model: nn.Module) -> list[tuple[Any, ...]]:
    """All that a policy could leave on a model: classes, attributes, hooks."""
    return [
        (type(one), sorted(vars(one)), *(len(vars(one)[name]) for name in sorted(vars(one)) if "hooks" in name))
        for one in model.modules()
    ]


def apart(one: Tensor, other: Tensor) -> float:
    """The greatest difference between two tensors of one shape; infinite where one of them is not finite."""
    difference = (one.float() - other.float()).abs().max()
    return float(difference) if bool(torch.isfinite(difference)) else float("inf")
