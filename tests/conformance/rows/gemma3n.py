"""Gemma 3n: as many tokens for every clip, four streams of hidden states, sliding windows, shared keys and values."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import (
    AutoModel,
    Gemma3nAudioFeatureExtractor,
    Gemma3nConfig,
    Gemma3nForConditionalGeneration,
    Gemma3nProcessor,
    PreTrainedModel,
)
from transformers.models.gemma3n.configuration_gemma3n import Gemma3nVisionConfig

from tests.conformance.rows.parts import MEL_BINS, TEXT, settled, template, without_eyes
from tests.conformance.tokens import VOCABULARY, ids, tokenizer

SPECIAL = {
    "audio_token": "<audio_soft_token>",
    "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
    "image_token": "<image_soft_token>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
}
# Text, images and audio have a range of ids each, and an embedding table.
IMAGES, SOUNDS = VOCABULARY - 16, VOCABULARY - 8
FIXED = {"image_token": IMAGES + 1, "eoi_token": IMAGES, "audio_token": SOUNDS + 1, "eoa_token": SOUNDS}
AUDIO_TOKENS = 24


class _NoEyesConfig(Gemma3nVisionConfig):  # type: ignore[misc]
    model_type = "gemma3n_without_eyes"


class _NoEyes(PreTrainedModel):  # type: ignore[misc]
    """In the place of a vision tower that needs timm."""

    config_class = _NoEyesConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.nothing = nn.Identity()
        self.post_init()


AutoModel.register(_NoEyesConfig, _NoEyes, exist_ok=True)


def model() -> Any:
    token = ids(SPECIAL, FIXED)
    config = Gemma3nConfig(
        audio_config={
            "vocab_size": 8,
            "vocab_offset": SOUNDS,
            "input_feat_size": MEL_BINS,
            "hidden_size": 32,
            "conf_num_attention_heads": 4,
            "conf_num_hidden_layers": 2,
            "sscp_conv_channel_size": (8, 4),
        },
        vision_config=_NoEyesConfig(vocab_size=8, vocab_offset=IMAGES, hidden_size=32),
        text_config={
            **TEXT,
            "num_hidden_layers": 6,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
            "sliding_window": 8,
            "num_kv_shared_layers": 2,
            "laurel_rank": 4,
            "vocab_size_per_layer_input": IMAGES,
            "hidden_size_per_layer_input": 8,
        },
        audio_soft_tokens_per_image=AUDIO_TOKENS,
        **{f"{name}_id": place for name, place in token.items()},
    )
    return settled(Gemma3nForConditionalGeneration(config))


def processor() -> Any:
    return without_eyes(Gemma3nProcessor)(
        feature_extractor=Gemma3nAudioFeatureExtractor(feature_size=MEL_BINS),
        image_processor=None,
        tokenizer=tokenizer(SPECIAL, FIXED),
        chat_template=template("<audio_soft_token>"),
        audio_seq_length=AUDIO_TOKENS,
    )
