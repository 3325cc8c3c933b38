"""One call of `generate()`, timed from within: encoder, prefill, first token, the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from tuner.bench.prefill import Inputs
from tuner.costs.measure import now
from tuner.evaluate.answers import of_length
from tuner.loading import LoadedModel
from tuner.policy import Policy


@dataclass(frozen=True)
class Phases:
    """Seconds of one call.

    Attributes:
        first_token: from the call until the first token is chosen.
        encoder: from the model's own call to its first decoder layer.
        prefill: from there until its logits are there, merging included.
        decode: from the first token to the last.
    """

    first_token: float
    encoder: float
    prefill: float
    decode: float


def phases(loaded: LoadedModel, policy: Policy | None, inputs: Inputs, new_tokens: int) -> Phases:
    """Generates exactly so many tokens under `policy`, or with the bare model, and tells how long each phase took."""
    marks: dict[str, float] = {}

    def mark(name: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            if name not in marks:  # later calls of the model are decoding
                marks[name] = now(loaded.device)

        return note

    root, decoder = loaded.speech.root, loaded.speech.layers[0]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if policy is not None:
            stack.enter_context(policy.applied(loaded.model))
        for hook in (
            root.register_forward_pre_hook(mark("model"), prepend=True),
            decoder.register_forward_pre_hook(mark("decoder"), prepend=True),
            root.register_forward_hook(mark("logits")),
        ):
            stack.callback(hook.remove)
        began = now(loaded.device)
        loaded.model.generate(
            **inputs,
            generation_config=of_length(loaded.model, new_tokens),
            stopping_criteria=StoppingCriteriaList([_AtEachToken(mark("token"))]),
        )
        ended = now(loaded.device)
    return Phases(
        first_token=marks["token"] - began,
        encoder=marks["decoder"] - marks["model"],
        prefill=marks["logits"] - marks["decoder"],
        decode=ended - marks["token"],
    )


class _AtEachToken(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped
    """Never stops; `generate()` asks it whenever a token has been chosen."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        self._note()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
