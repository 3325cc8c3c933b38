"""A speech LLM's passes without its weights: nothing is computed, but everything that would be is counted."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from tuner.costs.counted import counter
from tuner.errors import ModelError
from tuner.runtime.models import SpeechModel


@dataclass(frozen=True)
class Counts:
    """FLOPs of one pass: before the first layer, in each layer and (last part) after them all, and in the head."""

    entry: int
    parts: tuple[int, ...]
    head: int


@dataclass(frozen=True)
class Kept:
    """What one layer's cache holds of a prompt.

    Attributes:
        width: numbers of a token, keys and values together.
        numbers: those of all tokens.
        state_bytes: bytes of everything else.
        window: how many tokens its attention spans, None for all.
    """

    width: int = 0
    numbers: int = 0
    state_bytes: int = 0
    window: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt's prefill: its counts, what it left in the cache by part, and that cache."""

    counts: Counts
    kept: tuple[Kept, ...]
    cache: Cache


class Rehearsal:
    """Runs a model's copy that has no weights, on prompts of text, the way generation would.

    The copy keeps everything that decides what is computed, adapters included. Only its mixtures are told to run their
    experts by an operation that needs no look at the data and that the counter sees; the FLOPs are the same.

    Raises:
        ModelError: the model cannot be run this way.
    """

    def __init__(self, speech: SpeechModel) -> None:
        self._architecture = speech.architecture
        with self._refusing():
            speech = _without_weights(speech)
            speech.root.set_experts_implementation("batched_mm")
        self._root = speech.root
        # Generation asks for the last position's logits wherever it can.
        asks = "logits_to_keep" in inspect.signature(self._root.forward).parameters
        self._options = {"use_cache": True} | ({"logits_to_keep": 1} if asks else {})
        self._counted = [*speech.layers, self._root.get_output_embeddings()]
        self._flops = counter()
        self._marks: list[int] = []
        with self._refusing():
            for module in self._counted:
                module.register_forward_pre_hook(self._mark)
                module.register_forward_hook(self._mark)

    def prefill(self, tokens: int) -> Prompt:
        """The pass over a prompt of so many tokens."""
        cache = DynamicCache(config=self._root.config)
        counts = self._pass(tokens, cache)
        return Prompt(counts, (*map(_kept, cache.layers), Kept()), cache)

    def decode(self, prompt: Prompt) -> Counts:
        """The pass for one more token; once for each prompt, whose cache it makes longer."""
        return self._pass(1, prompt.cache)

    def _pass(self, tokens: int, cache: Cache) -> Counts:
        self._marks.clear()
        ids = torch.empty(1, tokens, dtype=torch.long, device="meta")
        with self._refusing():
            with torch.no_grad(), counter() as self._flops:
                self._root(input_ids=ids, past_key_values=cache, **self._options)
            entered, left = self._marks[::2], self._marks[1::2]
            if len(left) != len(self._counted):
                raise RuntimeError("its layers and its output head do not run one by one")
        *layers, head = (after - before for before, after in zip(entered, left, strict=True))
        around = self._flops.get_total_flops() - entered[0] - sum(layers) - head
        return Counts(entered[0], (*layers, around), head)

    def _mark(self, *_: object) -> None:
        self._marks.append(self._flops.get_total_flops())

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the model's own code raises
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(
                f"{self._architecture}: its FLOPs cannot be counted, for it does not run without weights: {reason}. "
                "Load it with attn_implementation='sdpa', without quantisation and without custom kernels."
            ) from error


def _without_weights(speech: SpeechModel) -> SpeechModel:
    """A copy whose tensors have shapes and no content, and that nobody's hooks watch."""
    copied: dict[int, Any] = {}
    for parameter in speech.root.parameters():
        empty = torch.empty_like(parameter, device="meta", requires_grad=False)
        copied[id(parameter)] = torch.nn.Parameter(empty, requires_grad=False)
    for buffer in speech.root.buffers():
        copied[id(buffer)] = torch.empty_like(buffer, device="meta")
    for module in speech.root.modules():
        copied[id(module._forward_pre_hooks)] = OrderedDict()
        copied[id(module._forward_hooks)] = OrderedDict()
    return copy.deepcopy(speech, copied)


def _kept(layer: Any) -> Kept:
    keys_and_values = [tensor for name in ("keys", "values") if (tensor := getattr(layer, name, None)) is not None]
    everything = sum(tensor.nbytes for value in vars(layer).values() for tensor in _numbers(value))
    return Kept(
        width=sum(tensor.shape[1] * tensor.shape[-1] for tensor in keys_and_values),
        numbers=sum(tensor.numel() for tensor in keys_and_values),
        state_bytes=everything - sum(tensor.nbytes for tensor in keys_and_values),
        window=getattr(layer, "sliding_window", None),
    )


def _numbers(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors in a cache layer's attribute; those of integers only keep the books."""
    values = value.values() if isinstance(value, dict) else (value,)
    yield from (one for one in values if isinstance(one, Tensor) and one.is_floating_point())
