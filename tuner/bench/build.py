"""A speech LLM with random weights, from its config alone: as costly as the real one, and nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tuner.bench.configs import KNOWN
from tuner.bench.families import HEARING
from tuner.errors import ModelError
from tuner.loading import LoadedModel, model_class, pick_device, pick_dtype
from tuner.runtime.models import describe

_NOISE = 1_048_573  # numbers; a prime, so that no two rows of a matrix are alike


def build(
    name: str, device: str | None = None, dtype: str = "auto", attn_implementation: str | None = None
) -> LoadedModel:
    """The model in evaluation mode, made where it will run; without a processor.

    Args:
        name: a name in `tuner.bench.configs.KNOWN`, or a config.json or its folder.
        device, attn_implementation: as for `tuner.loading.load`.
        dtype: likewise; auto is the config's own on an accelerator, bfloat16 where it names none.

    Raises:
        ModelError: no such config, or one whose audio encoder is not in `tuner.bench.families.HEARING`.
    """
    place = pick_device(device)
    wanted = pick_dtype(dtype, place)
    config = _config(name)
    if config.model_type not in HEARING:
        raise ModelError(
            f"config {name!r} is of model_type {config.model_type}, whose audio encoder is not known here; known are "
            f"{', '.join(sorted(HEARING))}. Load a checkpoint of it with --model"
        )
    options: dict[str, Any] = {"dtype": (config.dtype or torch.bfloat16) if wanted == "auto" else wanted}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    with torch.device("meta"):
        model = model_class(config, trust_remote_code=False)._from_config(config, **options)
    model.to_empty(device=place)
    _fill(model)
    model.generation_config = transformers.GenerationConfig(eos_token_id=None, pad_token_id=0)
    return LoadedModel(name, model.eval(), None, describe(model), place)


def _config(name: str) -> Any:
    if known := KNOWN.get(name):
        return transformers.AutoConfig.for_model(**known.fields, architectures=[known.architecture])
    if not Path(name).exists():
        raise ModelError(f"config {name!r} is neither a file or folder nor one of {', '.join(KNOWN)}")
    try:
        return transformers.AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot read config {name!r}: {error}") from error


@torch.no_grad()
def _fill(model: Any) -> None:
    """Matrices get the same noise over and over, which takes no time; the model's own code does norms and buffers."""
    noise = 0.02 * torch.randn(_NOISE, generator=torch.Generator().manual_seed(0))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            copied = noise.to(parameter)
            for piece in parameter.view(-1).split(_NOISE):
                piece.copy_(copied[: len(piece)])
            parameter._is_hf_initialized = True
    model.initialize_weights()
    model.tie_weights()
