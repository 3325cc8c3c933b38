"""From a model's name to a speech LLM ready to run: the shipped reference model, a local folder or a Hub id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import transformers

from tuner.errors import ModelError
from tuner.runtime.models import LISTENERS, NOISE, SpeechModel, describe

log = logging.getLogger(__name__)

REFERENCE = Path(__file__).parent / "reference" / "weights"


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on its device, with its processor. `id` is the name it was asked for by."""

    id: str
    model: Any
    processor: Any
    speech: SpeechModel
    device: torch.device

    @property
    def short_name(self) -> str:
        """The last part of the name, fit for a file name."""
        return self.id.rstrip("/").rsplit("/", 1)[-1].lower()

    def on_device(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Model inputs with their tensors on the model's device, those of floating point in its dtype."""
        return {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in inputs.items()
        }


def load(
    name: str,
    device: str | None = None,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Loads model and processor.

    Args:
        name: `reference`, a checkpoint folder, or a Hub id.
        device: cuda, mps or cpu; by default the first of these that is there.
        dtype: float32, bfloat16, float16, or auto: the checkpoint's own on an accelerator, float32 on a CPU.
        attn_implementation: sdpa or eager; by default the model's choice.
        trust_remote_code: run code that comes with the checkpoint.

    Raises:
        ModelError: it cannot be found or loaded, or is no speech LLM that audio tokens can be merged in.
    """
    place = pick_device(device)
    path = str(REFERENCE) if name == "reference" else name
    if name == "reference" and not REFERENCE.is_dir():
        raise ModelError(
            f"the reference model is not installed ({REFERENCE}); make it: python -m tuner.reference.train"
        )
    if name != "reference" and not Path(name).exists() and get_close_matches(name, ["reference"], cutoff=0.8):
        raise ModelError(f"there is no model {name!r} here; did you mean 'reference'? Hub models go by owner/name")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        processor = transformers.AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
        model = model_class(config, trust_remote_code).from_pretrained(path, dtype=pick_dtype(dtype, place), **options)
    except (OSError, ValueError, ImportError, KeyError) as error:
        hint = "check the name, the network or HF_HUB_OFFLINE; a local folder must hold config, weights and processor"
        raise ModelError(f"cannot load model {name!r}: {_first_line(error)} ({hint})") from error
    model.to(place).eval()
    _silence(model)
    return LoadedModel(name, model, processor, describe(model), place)


def _silence(model: Any) -> None:
    """Turns off noise that encoders add, so that two runs differ by their policies alone."""
    for config in {
        id(module.config): module.config for module in model.modules() if hasattr(module, "config")
    }.values():
        for field in NOISE:
            if getattr(config, field, 0):
                log.info("%s: %s set to 0, so that runs can be compared", type(model).__name__, field)
                setattr(config, field, 0.0)


def model_class(config: Any, trust_remote_code: bool) -> Any:
    """The transformers class that a config names (of a model that also speaks, the part that listens), or the one that
    runs the checkpoint's own code.

    Raises:
        ModelError: transformers has no such class.
    """
    names = [LISTENERS[config.model_type]] if config.model_type in LISTENERS else config.architectures or []
    found = next((getattr(transformers, name) for name in names if hasattr(transformers, name)), None)
    if found is not None:
        return found
    if trust_remote_code:
        return transformers.AutoModelForCausalLM
    raise ModelError(
        f"transformers {transformers.__version__} has no class {' or '.join(names) or '(none named in the config)'}; "
        "update transformers, or use --trust-remote-code if you trust the checkpoint's own code"
    )


def pick_device(name: str | None) -> torch.device:
    """The device of that name; without one, the first of cuda, mps and cpu that is there.

    Raises:
        ModelError: it cannot be used.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {name!r} cannot be used: {_first_line(error)}; try --device cpu") from error
    return device


def pick_dtype(name: str, device: torch.device) -> Any:
    """The torch dtype of that name; for auto float32 on a CPU, elsewhere "auto", the checkpoint's own.

    Raises:
        ModelError: there is no such dtype.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ModelError(f"dtype {name!r} is not known; expected auto, {', '.join(known)}")
    return known[name]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
