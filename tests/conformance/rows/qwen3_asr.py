"""Qwen3-ASR: 13 tokens for every second begun, an answer that names the language first."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
)

from tests.conformance.rows.parts import MEL_BINS, TEXT, settled, template
from tests.conformance.tokens import PAD, ids, tokenizer

SPECIAL = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}


def model() -> Any:
    config = Qwen3ASRConfig(
        audio_config={
            "num_mel_bins": MEL_BINS,
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "output_dim": 32,
            "downsample_hidden_size": 8,
        },
        text_config={"model_type": "qwen3", **TEXT},
        audio_token_id=ids(SPECIAL)["audio_token"],
        pad_token_id=PAD,
    )
    return settled(Qwen3ASRForConditionalGeneration(config))


def processor() -> Any:
    return Qwen3ASRProcessor(
        feature_extractor=Qwen3ASRFeatureExtractor(feature_size=MEL_BINS),
        tokenizer=tokenizer(SPECIAL),
        chat_template=template("<|audio_start|><|audio_pad|><|audio_end|>"),
    )
