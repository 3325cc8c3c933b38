"""Fun-ASR-Nano: 16.7 tokens a second from frames stacked by seven."""

from __future__ import annotations

from typing import Any

from transformers import (
    FunAsrNanoConfig,
    FunAsrNanoForConditionalGeneration,
    FunAsrNanoProcessor,
)

from tests.conformance.rows.features import StackedFeatures
from tests.conformance.rows.parts import MEL_BINS, TEXT, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|object_ref_start|>"}


def model() -> Any:
    config = FunAsrNanoConfig(
        audio_config={
            "num_mel_bins": MEL_BINS,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_timestamp_prediction_layers": 1,
        },
        adaptor_config={
            "hidden_size": 32,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "projector_hidden_size": 32,
        },
        text_config={"model_type": "qwen3", **TEXT},
        audio_token_id=ids(SPECIAL)["audio_token"],
    )
    config._attn_implementation = "sdpa"  # left to itself, the adaptor has none and attends to padding
    return settled(FunAsrNanoForConditionalGeneration(config))


def processor() -> Any:
    return FunAsrNanoProcessor(
        StackedFeatures(),
        tokenizer(SPECIAL),
        chat_template=template("<|object_ref_start|>"),
    )
