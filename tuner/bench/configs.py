"""Public checkpoints by name: what their config.json says that differs from transformers' own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownConfig:
    """A checkpoint's config: the class that runs it, its fields, and the page they were read from."""

    architecture: str
    source: str
    fields: Mapping[str, Any]


_WHISPER_LARGE = {
    "num_mel_bins": 128,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "max_source_positions": 1500,
}


def _voxtral(source: str, **text: Any) -> KnownConfig:
    shared = {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    rope = {"max_position_embeddings": 131072, "rope_theta": 1e8, "rms_norm_eps": 1e-5, "vocab_size": 131072}
    audio = {"model_type": "voxtral_encoder", **_WHISPER_LARGE}
    fields = {
        "model_type": "voxtral",
        "audio_token_id": 24,
        "audio_config": audio,
        "text_config": {**shared, **rope, **text},
    }
    return KnownConfig("VoxtralForConditionalGeneration", source, fields)


def _qwen3_asr(source: str, audio: Mapping[str, int], text: Mapping[str, int]) -> KnownConfig:
    decoder = {"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
    vocabulary = {"vocab_size": 151936, "max_position_embeddings": 65536, "tie_word_embeddings": True}
    fields = {
        "model_type": "qwen3_asr",
        "audio_token_id": 151676,
        "audio_config": {"model_type": "qwen3_asr_encoder", "num_mel_bins": 128, **audio},
        "text_config": {"model_type": "qwen3", "rope_theta": 1e6, **decoder, **vocabulary, **text},
    }
    return KnownConfig("Qwen3ASRForConditionalGeneration", source, fields)


KNOWN: Mapping[str, KnownConfig] = {
    "qwen2-audio-7b": KnownConfig(
        "Qwen2AudioForConditionalGeneration",
        "https://huggingface.co/Qwen/Qwen2-Audio-7B-Instruct/blob/main/config.json",
        {
            "model_type": "qwen2_audio",
            "audio_token_index": 151646,
            "audio_config": {
                "model_type": "qwen2_audio_encoder",
                "num_mel_bins": 128,
                "encoder_layers": 32,
                "encoder_attention_heads": 20,
                "encoder_ffn_dim": 5120,
                "d_model": 1280,
                "max_source_positions": 1500,
            },
            "text_config": {
                "model_type": "qwen2",
                "hidden_size": 4096,
                "intermediate_size": 11008,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "num_key_value_heads": 32,
                "max_position_embeddings": 8192,
                "rms_norm_eps": 1e-5,
                "rope_theta": 10000.0,
                "vocab_size": 156032,
            },
        },
    ),
    "voxtral-mini": _voxtral(
        "https://huggingface.co/mistralai/Voxtral-Mini-3B-2507/blob/main/config.json",
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=30,
    ),
    "voxtral-small": _voxtral(
        "https://huggingface.co/mistralai/Voxtral-Small-24B-2507/blob/main/config.json",
        hidden_size=5120,
        intermediate_size=32768,
        num_hidden_layers=40,
    ),
    "qwen3-asr-0.6b": _qwen3_asr(
        "https://huggingface.co/Qwen/Qwen3-ASR-0.6B/blob/main/config.json",
        audio={
            "encoder_layers": 18,
            "encoder_attention_heads": 14,
            "encoder_ffn_dim": 3584,
            "d_model": 896,
            "output_dim": 1024,
        },
        text={"hidden_size": 1024, "intermediate_size": 3072},
    ),
    "qwen3-asr-1.7b": _qwen3_asr(
        "https://huggingface.co/Qwen/Qwen3-ASR-1.7B/blob/main/config.json",
        audio={
            "encoder_layers": 24,
            "encoder_attention_heads": 16,
            "encoder_ffn_dim": 4096,
            "d_model": 1024,
            "output_dim": 2048,
        },
        text={"hidden_size": 2048, "intermediate_size": 6144},
    ),
    "audio-flamingo-3": KnownConfig(
        "AudioFlamingo3ForConditionalGeneration",
        "https://huggingface.co/nvidia/audio-flamingo-3-hf/blob/main/config.json",
        {
            "model_type": "audioflamingo3",
            "audio_token_id": 151669,
            "audio_config": {"model_type": "audioflamingo3_encoder", **_WHISPER_LARGE},
            "text_config": {
                "model_type": "qwen2",
                "hidden_size": 3584,
                "intermediate_size": 18944,
                "num_hidden_layers": 28,
                "num_attention_heads": 28,
                "num_key_value_heads": 4,
                "max_position_embeddings": 32768,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1e6,
                "vocab_size": 151672,
            },
        },
    ),
}
"""By the name that ``tune bench --config`` takes."""
