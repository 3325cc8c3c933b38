"""Decoder layers and audio tokens are found without naming a model; what cannot be merged in is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from tests.tiny import AUDIO, tiny_model
from tuner.errors import ModelError
from tuner.runtime.models import describe, fingerprint

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 32,
}


def test_the_decoder_is_found_beside_an_encoder_of_as_many_layers() -> None:
    model = tiny_model()
    speech = describe(model)
    assert model.config.audio_config.encoder_layers == speech.num_layers
    assert speech.root is model
    assert speech.decoder is model.model.language_model
    assert speech.layers is model.model.language_model.layers
    assert (speech.num_layers, speech.hidden_size, speech.audio_token_id) == (4, 32, AUDIO)
    assert speech.architecture == "Qwen2AudioForConditionalGeneration"


def test_another_family_is_found_by_the_same_code() -> None:
    config = VoxtralConfig(
        audio_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
        text_config={"model_type": "llama", **SMALL},
        audio_token_id=24,
    )
    with torch.device("meta"):
        speech = describe(VoxtralForConditionalGeneration(config))
    assert (speech.num_layers, speech.hidden_size, speech.audio_token_id) == (3, 16, 24)


def _whisper() -> Any:
    with torch.device("meta"):
        return WhisperForConditionalGeneration(WhisperConfig())


def _of_type(model_type: str) -> Any:
    model = tiny_model()
    model.config.model_type = model_type
    return model


def _speaking() -> Any:
    model = tiny_model()
    model.thinker = nn.Linear(1, 1)
    return model


class _Wrapper(nn.Module):
    def get_base_model(self) -> None: ...


def _broken() -> Any:
    model = tiny_model()
    del model.model.language_model.layers[0]
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_whisper, "encoder-decoder"),
        (lambda: _of_type("voxtral_realtime"), "frame by frame.*Use a model that gives audio positions"),
        (lambda: _of_type("kyutai_speech_to_text"), "frame by frame"),
        (lambda: _of_type("moshi"), "frame by frame"),
        (lambda: _of_type("csm"), "writes audio tokens.*use one that answers in text"),
        (_speaking, "pass model.thinker"),
        (lambda: LlamaForCausalLM(LlamaConfig(**SMALL)), "no audio_token_id"),
        (_Wrapper, r"get_base_model\(\)"),
        (lambda: nn.Linear(1, 1), r"not a transformers model with generate\(\)"),
        (lambda: tiny_model().model, r"not a transformers model with generate\(\)"),
        (_broken, "expected one module with the 4 layers"),
    ],
)
def test_what_cannot_be_merged_in_is_refused_by_name(make: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        describe(make())


def test_a_fingerprint_names_structure_and_weights() -> None:
    mine = fingerprint(tiny_model())
    structure, weights = mine.split("-")
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]{12}", mine)
    assert fingerprint(tiny_model("eager")) == mine
    assert fingerprint(tiny_model(seed=1)).split("-")[0] == structure
    assert fingerprint(tiny_model(seed=1)).split("-")[1] != weights
    assert fingerprint(tiny_model(intermediate_size=96)).split("-")[0] != structure


def test_a_checkpoint_has_one_fingerprint_in_every_precision() -> None:
    saved = tiny_model().to(torch.bfloat16)
    assert fingerprint(saved) == fingerprint(saved.float()) == fingerprint(saved.to(torch.float16))
