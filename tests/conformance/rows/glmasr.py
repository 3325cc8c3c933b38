"""GLM-ASR: 12.5 tokens a second, long audio in several windows."""

from __future__ import annotations

from typing import Any

from transformers import GlmAsrConfig, GlmAsrForConditionalGeneration, GlmAsrProcessor, WhisperFeatureExtractor

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|audio_pad|>"}


def model() -> Any:
    config = GlmAsrConfig(
        audio_config={
            "num_mel_bins": MEL_BINS,
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 50 * SECONDS,
        },
        text_config={"model_type": "llama", **TEXT, "eos_token_id": None},
        audio_token_id=ids(SPECIAL)["audio_token"],
    )
    return settled(GlmAsrForConditionalGeneration(config))


def processor() -> Any:
    return GlmAsrProcessor(
        WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer(SPECIAL),
        chat_template=template("<|audio_pad|>"),
        audio_token="<|audio_pad|>",
        max_audio_len=2 * SECONDS,
    )
