"""One prompt's prefill the way production runs it: a call of `generate()` for a single token."""

from __future__ import annotations

from typing import Any

import torch

from tuner.evaluate.answers import of_length
from tuner.loading import LoadedModel

Inputs = dict[str, Any]


def prefill(loaded: LoadedModel, inputs: Inputs) -> Any:
    """Runs it; returns the cache, which holds the prompt and nothing else."""
    one_token = of_length(loaded.model, 1, return_dict_in_generate=True)
    with torch.no_grad():
        return loaded.model.generate(**inputs, generation_config=one_token).past_key_values
