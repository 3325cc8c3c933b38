"""How a model ends and pads its answers, and how answers of a fixed length are asked for."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig


def ends_of(model: Any) -> list[int]:
    """The tokens that end an answer of this model."""
    end = model.generation_config.eos_token_id
    return [] if end is None else [end] if isinstance(end, int) else list(end)


def pad_of(model: Any) -> int:
    """The token that fills up shorter rows: the checkpoint's own, else one of those that end an answer."""
    pad = model.generation_config.pad_token_id
    return min(ends_of(model), default=0) if pad is None else int(pad)


def of_length(model: Any, new_tokens: int, **others: Any) -> GenerationConfig:
    """Greedy decoding of exactly so many tokens, whatever they are, so that what is compared has the same work to do.

    `others` are named as transformers names them.
    """
    return GenerationConfig(
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        eos_token_id=ends_of(model) or None,
        pad_token_id=pad_of(model),
        **{"do_sample": False, "num_beams": 1, **others},
    )
