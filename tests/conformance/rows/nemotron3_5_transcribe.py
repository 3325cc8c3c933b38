"""Nemotron 3.5 Transcribe: 12.5 tokens a second; Mamba, attention, experts and plain layers, no rotary positions."""

from __future__ import annotations

from typing import Any

from transformers import (
    Nemotron3_5TranscribeConfig,
    Nemotron3_5TranscribeForConditionalGeneration,
    Nemotron3_5TranscribeProcessor,
)

from tests.conformance.rows.features import PlainFeatures
from tests.conformance.rows.parts import MEL_BINS, TEXT, settled, template
from tests.conformance.tokens import ids, tokenizer

SPECIAL = {"audio_token": "<|audio|>"}
ENCODER = {
    "num_mel_bins": MEL_BINS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def model() -> Any:
    sizes = {key: value for key, value in TEXT.items() if key != "num_hidden_layers"}
    config = Nemotron3_5TranscribeConfig(
        audio_config={
            "asr_config": ENCODER,
            "diarization_config": {
                "model_type": "nemotron3_diarization",
                "audio_config": ENCODER,
                "head_config": {"hidden_size": 16, "audio_hidden_size": 32, "num_speakers": 2},
                "streaming_config": {"num_speakers": 2},
            },
        },
        text_config={
            "model_type": "nemotron_h",
            **sizes,
            "layers_block_type": [
                "linear_attention",
                "moe",
                "full_attention",
                "mlp",
                "linear_attention",
                "full_attention",
            ],
            "ssm_state_size": 8,
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "n_groups": 2,
            "chunk_size": 16,
            "n_routed_experts": 4,
            "moe_intermediate_size": 16,
            "moe_shared_expert_intermediate_size": 16,
        },
        word_timestamp_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "vocab_size": 16,
            "blank_token_id": 15,
        },
        audio_token_id=ids(SPECIAL)["audio_token"],
    )
    return settled(Nemotron3_5TranscribeForConditionalGeneration(config))


def processor() -> Any:
    return Nemotron3_5TranscribeProcessor(
        PlainFeatures(),
        tokenizer(SPECIAL),
        tokenizer({}),
        chat_template=template("<|audio|>") + "{% if enable_thinking %}<think>{% endif %}",
    )
