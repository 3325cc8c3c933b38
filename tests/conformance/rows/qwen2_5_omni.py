"""The thinker of Qwen2.5-Omni: 25 tokens a second, rotary positions of three axes."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template, without_eyes
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {
    "audio_token": "<|AUDIO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1]}
VISION = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}


def model() -> Any:
    token = ids(SPECIAL)
    config = Qwen2_5OmniThinkerConfig(
        audio_config={**WHISPER, "output_dim": 32},
        vision_config={**VISION, "fullatt_block_indexes": [0]},
        text_config={**TEXT, "rope_parameters": ROPE},
        audio_token_index=token["audio_token"],
        image_token_index=token["image_token"],
        video_token_index=token["video_token"],
        audio_start_token_id=token["audio_bos_token"],
        audio_end_token_id=token["audio_eos_token"],
        vision_start_token_id=token["vision_bos_token"],
    )
    return settled(Qwen2_5OmniThinkerForConditionalGeneration(config))


def processor() -> Any:
    return without_eyes(Qwen2_5OmniProcessor)(
        feature_extractor=WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer=tokenizer(SPECIAL),
        chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>"),
        image_processor=None,
        video_processor=None,
    )
