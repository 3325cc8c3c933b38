"""Gemma 4: 25 tokens a second, sliding windows, keys and values shared by the last layers."""

from __future__ import annotations

from typing import Any

from transformers import Gemma4AudioFeatureExtractor, Gemma4Config, Gemma4ForConditionalGeneration, Gemma4Processor

from tests.conformance.rows import gemma3n
from tests.conformance.rows.parts import MEL_BINS, TEXT, settled, template, without_eyes
from tests.conformance.tokens import VOCABULARY, ids, tokenizer

SPECIAL = {**gemma3n.SPECIAL, "video_token": "<|video|>"}


def model() -> Any:
    token = ids(SPECIAL)
    config = Gemma4Config(
        audio_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "subsampling_conv_channels": [MEL_BINS, 4],
            "output_proj_dims": 32,
            "use_clipped_linears": False,
        },
        text_config={
            **TEXT,
            "num_hidden_layers": 6,
            "global_head_dim": 16,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
            "sliding_window": 8,
            "num_kv_shared_layers": 2,
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
        },
        audio_token_id=token["audio_token"],
        boa_token_id=token["boa_token"],
        eoa_token_index=token["eoa_token"],
        image_token_id=token["image_token"],
        boi_token_id=token["boi_token"],
        eoi_token_id=token["eoi_token"],
        video_token_id=token["video_token"],
    )
    return settled(Gemma4ForConditionalGeneration(config), seed=3)  # one whose float noise stays about 1e-5


def processor() -> Any:
    return without_eyes(Gemma4Processor)(
        feature_extractor=Gemma4AudioFeatureExtractor(feature_size=MEL_BINS),
        image_processor=None,
        tokenizer=tokenizer(SPECIAL),
        video_processor=None,
        chat_template=template("<audio_soft_token>"),
    )
