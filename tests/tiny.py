"""A tiny random Qwen2-Audio and prompts for it: real classes, real forward and generate(), milliseconds a pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

AUDIO, PAD, VOCABULARY = 60, 0, 64
MEL_BINS, SOURCE_POSITIONS = 16, 64


def tiny_model(attention: str = "sdpa", seed: int = 0, **text_config: Any) -> Any:
    """A random model in float32 whose weights are large enough for mistakes in masks and positions to show."""
    config = Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": MEL_BINS,
            "d_model": 32,
            "encoder_layers": 4,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "max_source_positions": SOURCE_POSITIONS,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "pad_token_id": PAD,
            **text_config,
        },
        audio_token_index=AUDIO,
    )
    config.eos_token_id = config.text_config.eos_token_id = None
    config.pad_token_id = PAD
    config._attn_implementation = attention
    model = Qwen2AudioForConditionalGeneration(config).eval()
    model.set_attn_implementation(attention)
    model.generation_config.pad_token_id = PAD
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
    return model


def utterance(audio_tokens: Sequence[int], seed: int = 0, text: int = 4) -> dict[str, Tensor]:
    """One unpadded prompt: clips of so many audio tokens, with `text` tokens before, between and after them."""
    generator = torch.Generator().manual_seed(seed)

    def words() -> list[int]:
        return torch.randint(1, AUDIO, (text,), generator=generator).tolist()

    ids, features, feature_masks = words(), [], []
    for tokens in audio_tokens:
        ids += [AUDIO] * tokens + words()
        # Slowly moving noise, so that neighbours are more alike than strangers.
        noise = torch.randn(MEL_BINS, 2 * SOURCE_POSITIONS, generator=generator)
        features.append(noise.cumsum(1) / torch.arange(1, 2 * SOURCE_POSITIONS + 1).sqrt() + 0.3 * noise)
        feature_masks.append(torch.arange(2 * SOURCE_POSITIONS) < 4 * tokens)
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "input_features": torch.stack(features),
        "feature_attention_mask": torch.stack(feature_masks).long(),
    }


def left_padded(utterances: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch of unequal prompts, padded on the left."""
    longest = max(prompt["input_ids"].shape[1] for prompt in utterances)

    def padded(key: str) -> Tensor:
        return torch.cat(
            [torch.nn.functional.pad(prompt[key], (longest - prompt[key].shape[1], 0)) for prompt in utterances]
        )

    return {
        "input_ids": padded("input_ids"),
        "attention_mask": padded("attention_mask"),
        "input_features": torch.cat([prompt["input_features"] for prompt in utterances]),
        "feature_attention_mask": torch.cat([prompt["feature_attention_mask"] for prompt in utterances]),
    }
