"""Where a speech LLM keeps its decoder layers and its audio tokens, found without naming any model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tuner.errors import ModelError

_SHAPE_FACTS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)

# By model_type, why no audio token can be merged and what to do instead.
_PER_FRAME = (
    "adds its audio to the embedding of every text token, frame by frame, so no token of its prompt is audio alone. "
    "Use a model that gives audio positions of its own, such as Voxtral or Qwen2-Audio"
)
_SPEAKS = (
    "writes audio tokens instead of text. Merging serves models that listen; use one that answers in text, such as "
    "Qwen2-Audio"
)
_REFUSED = {
    "voxtral_realtime": _PER_FRAME,
    "kyutai_speech_to_text": _PER_FRAME,
    "moshi": _PER_FRAME,
    **dict.fromkeys(
        ("qwen2_5_omni_talker", "qwen3_omni_moe_talker", "csm", "dia", "higgs_audio_v2", "vibevoice"), _SPEAKS
    ),
    "inkling": "attends by relative distances inside the decoder, which merging would shrink. Use another model",
}

# By model_type, the class of the part that listens and answers in text, of models that also speak.
LISTENERS = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}

# Fields of a config that say how much noise an encoder adds to what it hears; without noise, runs can be compared.
NOISE = ("vae_std",)


@dataclass(frozen=True)
class SpeechModel:
    """The parts of a speech LLM that merging needs.

    Attributes:
        root: the module that owns `generate()`.
        decoder: the module inside it that owns the decoder layers.
        layers: those layers, in order.
        text_config: the decoder's configuration.
        audio_token_id: the id that marks audio positions in the prompt.
        architecture: class name of `root`.
    """

    root: Any
    decoder: Any
    layers: nn.ModuleList
    text_config: Any
    audio_token_id: int
    architecture: str

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return len(self.layers)

    @property
    def hidden_size(self) -> int:
        """Width of the decoder."""
        return int(self.text_config.hidden_size)

    @property
    def first_donor(self) -> int | None:
        """The first layer whose keys and values later layers use as their own; None where no layer shares."""
        modes = getattr(self.text_config, "kv_sharing_modes", None) or []
        return modes.index("store") if "store" in modes else None


def describe(model: Any) -> SpeechModel:
    """Finds a speech LLM's decoder layers and audio token id.

    Raises:
        ModelError: if the model is not a decoder-only speech LLM whose audio has positions of its own in the prompt.
    """
    name = type(model).__name__
    if hasattr(model, "get_base_model"):
        raise ModelError(f"{name} wraps the model that runs. Pass the wrapped one: model.get_base_model().")
    config: Any = getattr(model, "config", None)
    if not (isinstance(model, nn.Module) and hasattr(model, "generate") and hasattr(config, "get_text_config")):
        raise ModelError(
            f"{name} is not a transformers model with generate(). Load it with its ...ForConditionalGeneration class."
        )
    if hasattr(model, "thinker"):
        raise ModelError(
            f"{name} also speaks, from hidden states that have to be as long as its prompt. Merge in the part that "
            "listens and answers in text: pass model.thinker, and generate with it."
        )
    if reason := _REFUSED.get(config.model_type):
        raise ModelError(f"{name} {reason}.")
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name} is an encoder-decoder: its decoder cross-attends to the audio, so its prompt has no audio tokens "
            "to merge. Use a decoder-only speech LLM such as Qwen2-Audio."
        )
    audio_token_id = getattr(config, "audio_token_id", None)
    if audio_token_id is None:
        audio_token_id = getattr(getattr(config, "audio_config", None), "audio_token_id", None)
    if not isinstance(audio_token_id, int):
        raise ModelError(f"{name} names no audio_token_id in its config, so its prompt has no audio tokens to merge.")
    text_config: Any = config.get_text_config(decoder=True)
    decoder = _find_decoder(model, text_config)
    return SpeechModel(model, decoder, decoder.layers, text_config, audio_token_id, name)


def _find_decoder(model: nn.Module, text_config: Any) -> Any:
    """The one module whose `layers` are those that `text_config` counts."""
    found = [
        module
        for module in model.modules()
        if isinstance(layers := getattr(module, "layers", None), nn.ModuleList)
        and len(layers) == text_config.num_hidden_layers
        and getattr(module, "config", None) is text_config
    ]
    if len(found) != 1:
        raise ModelError(
            f"{type(model).__name__}: expected one module with the {text_config.num_hidden_layers} layers of its text "
            f"config, found {len(found)}. A model of this build is not supported."
        )
    return found[0]


def fingerprint(model: Any) -> str:
    """Names a checkpoint: "<structure>-<weights>", 12 hex digits each.

    `structure` covers the class, the decoder's shape and the audio token id; `weights` covers the decoder's norm
    weights, rounded to bfloat16 so that a checkpoint loaded in float32 and in bfloat16 agrees with itself.
    """
    speech = describe(model)
    facts = {fact: getattr(speech.text_config, fact, None) for fact in _SHAPE_FACTS}
    structure = json.dumps([speech.architecture, speech.audio_token_id, facts], sort_keys=True)
    norms = [
        parameter.detach().flatten().to(torch.bfloat16)
        for name, parameter in sorted(speech.decoder.named_parameters())
        if "norm" in name
    ]
    if not norms:
        raise ModelError(f"{speech.architecture}: its decoder has no norm weights to tell checkpoints apart by.")
    # bfloat16 has no numpy twin; its bits do.
    weights = torch.cat(norms).cpu().view(torch.int16).numpy().tobytes()
    return f"{_digest(structure.encode())}-{_digest(weights)}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
