"""Qwen2-Audio: a Whisper encoder, 25 tokens a second; its decoder may be any other."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|AUDIO|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}


def model(**text_config: Any) -> Any:
    config = Qwen2AudioConfig(
        audio_config=WHISPER,
        text_config={"model_type": "qwen2", **TEXT, **text_config},
        audio_token_index=ids(SPECIAL)["audio_token"],
    )
    return settled(Qwen2AudioForConditionalGeneration(config))


def processor() -> Any:
    return Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer=tokenizer(SPECIAL),
        chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )
