"""Granite Speech: three tokens for every 15 encoder frames, a chat template that knows text alone, an adapter."""

from __future__ import annotations

from typing import Any

from transformers import (
    GraniteSpeechConfig,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechPlusConfig,
    GraniteSpeechPlusForConditionalGeneration,
    GraniteSpeechProcessor,
)

from tests.conformance.rows.features import GraniteFeatures
from tests.conformance.rows.parts import MEL_BINS, TEXT, TEXT_TEMPLATE, settled
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|audio|>"}
ENCODER = {
    "input_dim": 2 * MEL_BINS,
    "num_layers": 2,
    "hidden_dim": 32,
    "num_heads": 4,
    "output_dim": 8,
    "context_size": 20,
    "max_pos_emb": 40,
}


def _config(kind: type[Any], encoder_width: int, **encoder: Any) -> Any:
    return kind(
        encoder_config={**ENCODER, **encoder},
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "encoder_hidden_size": encoder_width,
        },
        text_config={"model_type": "granite", **TEXT, "embedding_multiplier": 3.0},
        audio_token_index=ids(SPECIAL)["audio_token"],
        has_lora_adapter=False,
    )


def model() -> Any:
    return settled(GraniteSpeechForConditionalGeneration(_config(GraniteSpeechConfig, 32)))


def plus() -> Any:
    """Two layers of the encoder side by side."""
    config = _config(GraniteSpeechPlusConfig, 64, cat_hidden_layers=[1])
    return settled(GraniteSpeechPlusForConditionalGeneration(config))


def processor() -> Any:
    return GraniteSpeechProcessor(GraniteFeatures(), tokenizer(SPECIAL, chat_template=TEXT_TEMPLATE))
