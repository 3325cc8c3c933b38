"""How alike the audio tokens of the bare model are, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tuner.errors import ModelError
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.halving import Batch, in_batches
from tuner.evaluate.start import seen_at
from tuner.probe.stretches import Stretch, stretches
from tuner.runtime.forward import main_stream
from tuner.runtime.prompt import read_prompt


@dataclass(frozen=True)
class Likeness:
    """Mean cosine similarities over all audio tokens that enter a decoder layer.

    Attributes:
        neighbour: of a token to the one before it.
        overall: to the mean of its utterance's audio tokens.
        word: to the token of its own word (or pause, or window) that it is most like.
    """

    layer: int
    neighbour: float
    overall: float
    word: float


def likeness(evaluator: Evaluator, progress: Callable[[int], None]) -> tuple[Likeness, ...]:
    """One pass of the bare model over the evaluator's utterances; `progress` is told of each batch's size when done.

    Raises:
        ModelError: its prompt does not tell which tokens are audio.
    """
    loaded, layers = evaluator.loaded, evaluator.loaded.speech.num_layers
    totals = torch.zeros(2, layers, 3, dtype=torch.float64)  # sums and counts

    def look(batch: Batch, audio: Tensor, found: Tensor, layer: int, states: Tensor) -> None:
        hidden = main_stream(states)
        if hidden.shape[1] != audio.shape[1]:
            raise _unknown(loaded.id)
        for row, one in enumerate(batch):
            own = hidden[row, audio[row]].float()
            for column, values in enumerate(_similarities(own, stretches(one, len(own)))):
                found[:, layer, column] += torch.tensor([values.sum().item(), len(values)])

    def step(batch: Batch) -> None:
        inputs, found = evaluator.prepared(batch), torch.zeros_like(totals)
        tokens = read_prompt(inputs, loaded.speech.audio_token_id, min_audio_tokens=0).tokens
        if tokens is None:
            raise _unknown(loaded.id)
        with torch.inference_mode(), ExitStack() as stack:
            for layer in range(layers):
                stack.enter_context(seen_at(loaded.speech, layer, partial(look, batch, tokens.mergeable, found, layer)))
            stack.enter_context(evaluator.encoding(batch))
            loaded.model(**inputs, use_cache=False)
        totals.add_(found)
        progress(len(batch))

    in_batches(evaluator.batches, step, evaluator.split)
    means = (totals[0] / totals[1].clamp(min=1)).tolist()
    return tuple(Likeness(layer, *values) for layer, values in enumerate(means))


def _unknown(model: str) -> ModelError:
    return ModelError(f"{model}: its prompt does not tell which of the decoder's tokens are audio")


def _similarities(hidden: Tensor, borders: Sequence[Stretch]) -> tuple[Tensor, Tensor, Tensor]:
    """Each token's similarity, of `hidden` [tokens, hidden]: to the one before it, to the mean, to the most alike of
    its stretch; the first has no neighbour, and a token that is alone in its stretch nothing to be like."""
    unit = normalize(hidden, dim=-1)
    stretch = torch.zeros(len(unit), dtype=torch.long, device=unit.device)
    for number, one in enumerate(borders):
        stretch[one.start : one.end] = number
    others = stretch[:, None] == stretch
    others.fill_diagonal_(False)
    most = (unit @ unit.T).masked_fill(~others, -2).amax(1)
    return (unit[1:] * unit[:-1]).sum(-1), unit @ normalize(hidden.mean(0), dim=-1), most[others.any(1)]
