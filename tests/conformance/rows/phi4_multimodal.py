"""Phi-4-multimodal: 12.5 tokens a second, embedded inside the decoder; a chat template that knows text alone."""

from __future__ import annotations

from typing import Any

from transformers import (
    Phi4MultimodalConfig,
    Phi4MultimodalFeatureExtractor,
    Phi4MultimodalForCausalLM,
    Phi4MultimodalProcessor,
)

from tests.conformance.rows.parts import MEL_BINS, TEXT, TEXT_TEMPLATE, settled, without_eyes
from tests.conformance.tokens import BOS, EOS, ids, tokenizer

SPECIAL = {"audio_token": "<|audio|>", "image_token": "<|image|>"}


def model() -> Any:
    sizes = {key: value for key, value in TEXT.items() if key != "head_dim"}
    config = Phi4MultimodalConfig(
        **sizes,
        audio_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_blocks": 3,
            "num_attention_heads": 4,
            "ext_pw_out_channel": 32,
            "depthwise_separable_out_channel": 32,
            "input_size": MEL_BINS,
            "nemo_conv_channels": 8,
            "audio_token_id": ids(SPECIAL)["audio_token"],
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "crop_size": 28,
            "image_token_id": ids(SPECIAL)["image_token"],
        },
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return settled(Phi4MultimodalForCausalLM(config))


def processor() -> Any:
    return without_eyes(Phi4MultimodalProcessor)(
        None,
        Phi4MultimodalFeatureExtractor(feature_size=MEL_BINS),
        tokenizer(SPECIAL, chat_template=TEXT_TEMPLATE),
    )
