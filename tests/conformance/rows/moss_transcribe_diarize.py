"""MOSS-Transcribe-Diarize: 12.5 tokens a second, cut by the seconds in words; long audio in several windows."""

from __future__ import annotations

from typing import Any

from transformers import (
    MossTranscribeDiarizeConfig,
    MossTranscribeDiarizeFeatureExtractor,
    MossTranscribeDiarizeForConditionalGeneration,
    MossTranscribeDiarizeProcessor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}


def model() -> Any:
    config = MossTranscribeDiarizeConfig(
        audio_config=WHISPER,
        text_config={"model_type": "qwen3", **TEXT},
        audio_token_id=ids(SPECIAL)["audio_token"],
        audio_chunk_size=16_000 * SECONDS,
    )
    return settled(MossTranscribeDiarizeForConditionalGeneration(config))


def processor() -> Any:
    return MossTranscribeDiarizeProcessor(
        MossTranscribeDiarizeFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer(SPECIAL),
        chat_template=template("<|audio_start|><|audio_pad|><|audio_end|>"),
    )
