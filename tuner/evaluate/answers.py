"""How answers of a fixed length are asked for, so that what is compared has the same work to do."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig


def ends_of(model: Any) -> list[int]:
    """The tokens that end an answer of this model."""
    end = model.generation_config.eos_token_id
    return [] if end is None else [end] if isinstance(end, int) else list(end)


def of_length(model: Any, new_tokens: int, **others: Any) -> GenerationConfig:
    """Greedy decoding of exactly so many tokens, whatever they are; `others` as transformers names them."""
    pad, ends = model.generation_config.pad_token_id, ends_of(model)
    return GenerationConfig(
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        eos_token_id=ends or None,
        pad_token_id=min(ends, default=0) if pad is None else pad,
        **{"do_sample": False, "num_beams": 1, **others},
    )
