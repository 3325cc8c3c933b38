"""VibeVoice-ASR: 7.5 tokens a second from samples at 24 kHz; the noise that it adds has a deviation of zero here."""

from __future__ import annotations

from typing import Any

from transformers import (
    VibeVoiceAcousticTokenizerFeatureExtractor,
    VibeVoiceAsrConfig,
    VibeVoiceAsrForConditionalGeneration,
    VibeVoiceAsrProcessor,
)

from tests.conformance.rows.parts import TEXT, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {
    "audio_token": "<|box_start|>",
    "audio_bos_token": "<|object_ref_start|>",
    "audio_eos_token": "<|object_ref_end|>",
}
ENCODER = {"hidden_size": 16, "num_filters": 2, "depths": [1] * 4, "downsampling_ratios": [8, 20, 20], "vae_std": 0.0}


def model() -> Any:
    config = VibeVoiceAsrConfig(
        acoustic_tokenizer_encoder_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", **ENCODER},
        semantic_tokenizer_encoder_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", **ENCODER},
        text_config={"model_type": "qwen2", **TEXT},
        **{f"{name}_id": place for name, place in ids(SPECIAL).items()},
    )
    return settled(VibeVoiceAsrForConditionalGeneration(config))


def processor() -> Any:
    return VibeVoiceAsrProcessor(
        VibeVoiceAcousticTokenizerFeatureExtractor(),
        tokenizer(SPECIAL),
        chat_template=template("<|object_ref_start|><|box_start|><|object_ref_end|><|AUDIO_DURATION|> seconds "),
    )
