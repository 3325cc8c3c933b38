"""Audio Flamingo 3: 25 tokens a second, long audio in several windows."""

from __future__ import annotations

from typing import Any

from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<sound>"}


def model() -> Any:
    config = AudioFlamingo3Config(
        audio_config=WHISPER,
        text_config={"model_type": "qwen2", **TEXT},
        audio_token_id=ids(SPECIAL)["audio_token"],
    )
    return settled(AudioFlamingo3ForConditionalGeneration(config))


def processor() -> Any:
    return AudioFlamingo3Processor(
        WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer(SPECIAL),
        chat_template=template("<sound>"),
        max_audio_len=2 * SECONDS,
    )
