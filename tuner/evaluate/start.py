"""Passes that begin inside a model: from the audio's embeddings, or at a deeper layer, instead of from the audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from tuner.runtime.models import SpeechModel


class Reached(Exception):  # noqa: N818  # not an error: the way out of a pass that has come as far as it should
    """The pass has come as far as it should."""


@contextmanager
def audio_placed(speech: SpeechModel, audio: Tensor, places: Tensor) -> Iterator[None]:
    """Within it the prompt's audio positions enter the decoder as `audio`, whatever stood for them before.

    Args:
        audio: [positions, hidden] in the order of the batch's rows (with streams in front, where there are some).
        places: [batch, tokens] bool, True at those positions.
    """

    def place(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden = args[0]
        if hidden.shape[-2] != places.shape[-1]:
            return None  # a decoding step
        hidden = hidden.clone()
        hidden[..., places, :] = audio
        return (hidden, *args[1:])

    hook = speech.layers[0].register_forward_pre_hook(place, prepend=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def begun_at(speech: SpeechModel, layer: int, hidden: Tensor) -> Iterator[None]:
    """Within it no layer before `layer` runs, and `hidden` [batch, tokens, hidden] enters that one."""
    with ExitStack() as stack:
        for skipped in speech.layers[:layer]:
            stack.enter_context(standing_in(skipped, _nothing))
        enter = speech.layers[layer].register_forward_pre_hook(lambda _, args: (hidden, *args[1:]), prepend=True)
        stack.callback(enter.remove)
        yield


@contextmanager
def seen_at(speech: SpeechModel, layer: int, look: Callable[[Tensor], None]) -> Iterator[None]:
    """Within it `look` sees the states that enter `layer`, before anything is merged there."""

    def see(_: Any, args: tuple[Any, ...]) -> None:
        look(args[0])

    hook = speech.layers[layer].register_forward_pre_hook(see, prepend=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def stopped_at(speech: SpeechModel, layer: int) -> Iterator[None]:
    """Ends the block when a pass reaches `layer`: what is behind does not run."""

    def stop(*_: Any) -> None:
        raise Reached

    hook = speech.layers[layer].register_forward_pre_hook(stop)
    try:
        yield
    except Reached:
        pass
    finally:
        hook.remove()


@contextmanager
def standing_in(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Within it `forward` runs in place of the module's own."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def rows_of(hidden: Tensor, kept: Tensor) -> list[Tensor]:
    """The states [..., batch, tokens, hidden] of each row of a batch where `kept` [batch, tokens]."""
    return [row[..., these, :] for row, these in zip(hidden.unbind(-3), kept, strict=True)]


def batch_of(rows: list[Tensor]) -> Tensor:
    """The inverse of `rows_of`, padded with zeros on the left."""
    longest = max(row.shape[-2] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, 0, longest - row.shape[-2], 0)) for row in rows], dim=-3)


def _nothing(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden
