"""How a model ends and pads its answers, and how answers of a fixed length are asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def greedily(model: Any, limit: int, **others: Any) -> GenerationConfig:
    """Greedy decoding of at most so many tokens, with the checkpoint's own end and padding tokens and penalties and
    none of its sampling. `others` are named as transformers names them."""
    return GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        num_beams=1,
        eos_token_id=ends_of(model) or None,
        pad_token_id=pad_of(model),
        **others,
    )


def until_end(answer: Sequence[int], ends: Collection[int], limit: int) -> list[int]:
    """The tokens up to and with the first end token, `limit` at most: what an utterance would say alone."""
    stop = next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))
    return list(answer[: min(stop, limit)])


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
