"""One prompt's prefill the way production runs it: a call of `generate()` for a single token."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig

from tuner.loading import LoadedModel

Inputs = dict[str, Any]


def generation(loaded: LoadedModel, new_tokens: int, **others: Any) -> GenerationConfig:
    """Greedy decoding of exactly so many tokens, whatever they are; `others` as transformers names them."""
    own = loaded.model.generation_config
    end = own.eos_token_id
    pad = own.pad_token_id if own.pad_token_id is not None else end[0] if isinstance(end, list) else end
    return GenerationConfig(
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=end,
        pad_token_id=pad,
        **others,
    )


def prefill(loaded: LoadedModel, inputs: Inputs) -> Any:
    """Runs it; returns the cache, which holds the prompt and nothing else."""
    one_token = generation(loaded, 1, return_dict_in_generate=True)
    with torch.no_grad():
        return loaded.model.generate(**inputs, generation_config=one_token).past_key_values
