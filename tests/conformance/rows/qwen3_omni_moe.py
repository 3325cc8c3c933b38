"""The thinker of Qwen3-Omni: 13 tokens for every second begun, rotary positions of three axes, experts."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen3OmniMoeProcessor,
    Qwen3OmniMoeThinkerConfig,
    Qwen3OmniMoeThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, SECONDS, TEXT, WHISPER, settled, template, without_eyes
from tests.conformance.rows.qwen2_5_omni import ROPE, SPECIAL, VISION
from tests.conformance.tokens import ids, tokenizer


def model() -> Any:
    token = ids(SPECIAL)
    config = Qwen3OmniMoeThinkerConfig(
        audio_config={**WHISPER, "output_dim": 32, "downsample_hidden_size": 8},
        vision_config={**VISION, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        text_config={
            **TEXT,
            "rope_parameters": {**ROPE, "mrope_interleaved": True},
            "moe_intermediate_size": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
        },
        audio_token_id=token["audio_token"],
        image_token_id=token["image_token"],
        video_token_id=token["video_token"],
        audio_start_token_id=token["audio_bos_token"],
        vision_start_token_id=token["vision_bos_token"],
    )
    return settled(Qwen3OmniMoeThinkerForConditionalGeneration(config))


def processor() -> Any:
    return without_eyes(Qwen3OmniMoeProcessor)(
        feature_extractor=WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS),
        tokenizer=tokenizer(SPECIAL),
        chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>"),
        image_processor=None,
        video_processor=None,
    )
