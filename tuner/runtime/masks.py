"""Attention masks for layers behind a merge, by the kind of the layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.masking_utils import (
    create_causal_mask,
    create_recurrent_attention_mask,
    create_sliding_window_causal_mask,
)

FULL, SLIDING = "full_attention", "sliding_attention"
RECURRENT = ("linear_attention", "conv")  # state spaces: the past is a state, the mask tells padding alone
ALONE = ("moe", "mlp")  # every token by itself, no mask
KINDS = (FULL, SLIDING, *RECURRENT, *ALONE)


def layer_kinds(config: Any) -> list[str]:
    """What kind each decoder layer is of, read as transformers' own caches read it; `config` is the text config."""
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        kind = FULL if getattr(config, "sliding_window", None) is None else SLIDING
        return [kind] * int(config.num_hidden_layers)
    return list(kinds)


def mask_for(
    kind: str, config: Any, layer: int, hidden: Tensor, real: Tensor | None, cache: Cache | None
) -> Tensor | None:
    """The mask that layer number `layer` of that kind takes; None where it needs none.

    Args:
        kind: one of `KINDS`.
        config: the decoder's config, which says how its attention is computed.
        layer: a layer whose cache holds what it is asked to attend to.
        hidden: [batch, entries, hidden] new entries.
        real: [batch, all entries so far] False for padding; None when all are real.
        cache: what holds the earlier entries; a sliding window counts entries, as its cache does.
    """
    if kind in ALONE or (kind == FULL and real is None and hidden.shape[1] == 1):
        return None
    arguments = {"config": config, "inputs_embeds": hidden, "attention_mask": real, "past_key_values": cache}
    mask: Tensor | None
    if kind in RECURRENT:
        mask = create_recurrent_attention_mask(**arguments)
    else:
        create = create_causal_mask if kind == FULL else create_sliding_window_causal_mask
        mask = create(**arguments, layer_idx=layer)
    return mask


def weighed(mask: Tensor | None, sizes: Tensor, hidden: Tensor) -> Tensor:
    """The mask of a layer that attends, as numbers that let each entry count as often as it stands for tokens: the
    logarithm of its size is added to its products with queries (proportional attention, https://arxiv.org/abs/2210.09461).

    Args:
        mask: [batch, 1, queries, keys], True or 0 where a query looks; None where each looks at all up to itself.
        sizes: [batch, all entries so far].
        hidden: [batch, queries, hidden] new entries.
    """
    queries, entries = hidden.shape[1], sizes.shape[1]
    if mask is None:
        mask = sizes.new_ones(queries, entries, dtype=torch.bool).tril(entries - queries)[None, None]
    if mask.dtype == torch.bool:
        hide = torch.finfo(hidden.dtype).min
        mask = torch.zeros_like(mask, dtype=hidden.dtype).masked_fill_(~mask, hide)
    often = sizes[:, -mask.shape[-1] :].float().log()  # a window's cache holds the newest alone
    return mask + often.to(mask.dtype)[:, None, None]


def last_rows(mask: Tensor | None, rows: int) -> Tensor | None:
    """The mask [..., queries, keys] of the last `rows` queries, where a decoder goes on with these alone."""
    return mask if mask is None or mask.dim() < 4 or mask.shape[-2] == rows else mask[..., -rows:, :]
