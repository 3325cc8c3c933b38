"""A layer's attention, for methods that ask for it, without switching the model to another kind of attention.

The layer is run as far as the place where its attention is computed, and no further: queries and keys are taken there,
as the model's own code projected, normed and rotated them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tuner.errors import ModelError


@dataclass(frozen=True)
class Attention:
    """What a layer's heads make of the tokens that enter it; cached tokens of earlier turns are left out.

    Attributes:
        keys: [batch, heads, tokens, width] as they meet the queries.
        score: computes [batch, query heads, tokens, tokens], each query's products with all keys.
        real: [batch, tokens] bool, False for padding.
    """

    keys: Tensor
    score: Callable[[], Tensor]
    real: Tensor

    def weights(self) -> Tensor:
        """[batch, query heads, tokens, tokens] float32: each query's shares of the tokens up to it, 0 for padding.

        Every layer is taken to look back without end, those with a sliding window too.
        """
        tokens = self.real.shape[1]
        seen = torch.ones(tokens, tokens, dtype=torch.bool, device=self.real.device).tril()
        seen = (seen & self.real[:, None, :] & self.real[:, :, None])[:, None]
        shares = self.score().float().masked_fill(~seen, float("-inf")).softmax(-1)
        return torch.where(seen, shares, 0.0)


def attention_of(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], real: Tensor
) -> Attention:
    """The attention of one decoder layer.

    Args:
        forward: the layer's own.
        args: what it is given, the hidden states first.
        kwargs: the same by name; masks and caches are left aside.
        real: [batch, tokens] bool, False for padding.

    Raises:
        ModelError: if the layer never attends (a state space, or tokens by themselves).
    """
    heads = _Heads()
    try:
        with heads:
            forward(*args, **{**kwargs, "attention_mask": None, "past_key_values": None, "use_cache": False})
    except _Found:
        pass
    if heads.keys is None or heads.score is None:
        raise ModelError(
            "a method of this policy needs attention, but the layer of its site attends to nothing. Merge before a "
            "layer with attention, or choose another method."
        )
    return Attention(heads.keys, heads.score, real)


class _Found(Exception):  # noqa: N818  # the way out of the layer
    """Queries and keys have met."""


class _Heads(TorchFunctionMode):
    """Watches torch's functions until attention is computed, in one call or step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor | None = None
        self.score: Callable[[], Tensor] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            query, self.keys = args[:2]
            self.score = partial(_scores, query, self.keys, named.get("scale"))
            raise _Found
        if func is torch.matmul and args[0].dim() == 4:
            self.keys = args[1].transpose(-1, -2)  # the eager way multiplies queries by these first
        elif func is functional.softmax and self.keys is not None:
            self.score = partial(Tensor.detach, args[0])
            raise _Found
        return func(*args, **named)


def _scores(query: Tensor, key: Tensor, scale: float | None) -> Tensor:
    """[batch, query heads, tokens, tokens] scaled products; each key head serves as many query heads as it takes."""
    keys = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1).float()
    return query.float() @ keys.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
