"""Music Flamingo: 25 tokens a second between two marks that its encoder looks for, and no transcription request."""

from __future__ import annotations

from typing import Any

from transformers import (
    MusicFlamingoConfig,
    MusicFlamingoForConditionalGeneration,
    MusicFlamingoProcessor,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<sound>", "audio_bos_token": "<|sound_bos|>", "audio_eos_token": "<|sound_eos|>"}


def model() -> Any:
    config = MusicFlamingoConfig(
        audio_config={"model_type": "audioflamingo3_encoder", **WHISPER},
        text_config={"model_type": "qwen2", **TEXT},
        **{f"{name}_id": place for name, place in ids(SPECIAL).items()},
    )
    return settled(MusicFlamingoForConditionalGeneration(config))


def processor() -> Any:
    return MusicFlamingoProcessor(
        WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer(SPECIAL),
        chat_template=template("<sound>"),
        max_audio_len=2 * SECONDS,
    )
