"""Counted costs against torch's own FLOP counter on real, tiny models, and against the paper's ratios."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    DeepseekV2Config,
    GPT2Config,
    PreTrainedConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
)

from tuner.costs.counted import counter, encoder_flops
from tuner.costs.flops import DecoderShape, decode_flops, kv_cache_bytes, prefill_flops, prefill_flops_audio
from tuner.errors import ModelError

AUDIO = 5
LAYERS = 3
BASE = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 200,
}
EXPERTS = {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}
DECODERS: dict[str, dict[str, Any]] = {
    "dense": {"model_type": "qwen2"},
    "tied head": {"model_type": "qwen2", "tie_word_embeddings": True},
    "grouped queries": {"model_type": "qwen2", "num_key_value_heads": 2},
    "own head size": {"model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 32},
    "experts": {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    "experts and a shared one": {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 80, **EXPERTS},
    "experts in every second layer": {"model_type": "qwen3_moe", "decoder_sparse_step": 2, **EXPERTS},
    "a layer without experts": {"model_type": "qwen3_moe", "mlp_only_layers": [1], **EXPERTS},
}


def speech_llm(attention: str = "sdpa", **text: Any) -> Any:
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "num_mel_bins": 16,
            "max_source_positions": 50,
        },
        text_config={**BASE, **text},
        audio_token_index=AUDIO,
        tie_word_embeddings=text.get("tie_word_embeddings", False),
    )
    # torch's counter does not see into the fused kernels for experts.
    mixture = {"experts_implementation": "eager"} if "num_experts_per_tok" in text else {}
    return Qwen2AudioForConditionalGeneration._from_config(config, attn_implementation=attention, **mixture).eval()


def token_ids(tokens: int) -> torch.Tensor:
    return torch.randint(10, 200, (1, tokens), generator=torch.Generator().manual_seed(0))


def run(model: Any, **inputs: Any) -> tuple[Any, int]:
    with torch.no_grad(), counter() as flops:
        outputs = model(**inputs)
    return outputs, flops.get_total_flops()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DECODERS)
def test_prefill_and_decode_agree_with_the_flop_counter(name: str, attention: str) -> None:
    model, tokens, generated = speech_llm(attention, **DECODERS[name]), 90, 4
    shape = DecoderShape.of(model.config)

    outputs, prefill = run(model, input_ids=token_ids(tokens), use_cache=True)
    decode = 0
    for _ in range(generated - 1):
        token = outputs.logits[:, -1:].argmax(-1)
        outputs, flops = run(model, input_ids=token, past_key_values=outputs.past_key_values, use_cache=True)
        decode += flops

    assert prefill_flops(shape, [tokens] * LAYERS, head_tokens=tokens) == pytest.approx(prefill, rel=0.01)
    assert decode_flops(shape, [tokens] * LAYERS, generated) == pytest.approx(decode, rel=0.01)


def test_each_layer_is_counted_at_its_own_length() -> None:
    model = speech_llm(**DECODERS["grouped queries"])
    by_layer = {}
    for tokens in (90, 30):
        with torch.no_grad(), counter() as flops:
            model(input_ids=token_ids(tokens))
        modules = flops.get_flop_counts()
        by_layer[tokens] = [
            sum(modules[f"Qwen2AudioForConditionalGeneration.model.language_model.layers.{index}"].values())
            for index in range(LAYERS)
        ]
    merged = by_layer[90][0] + by_layer[30][1] + by_layer[30][2]

    assert prefill_flops(DecoderShape.of(model.config), [90, 30, 30], head_tokens=0) == pytest.approx(merged, rel=0.01)


@pytest.mark.parametrize(
    "text",
    [
        {"model_type": "qwen2"},
        {"model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 32},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    ],
    ids=["full", "grouped queries", "sliding windows"],
)
def test_cache_bytes_are_those_of_a_real_cache(text: dict[str, Any]) -> None:
    model = speech_llm(**text)
    cache = run(model, input_ids=token_ids(40), use_cache=True)[0].past_key_values
    held = sum(tensor.nbytes for layer in cache.layers for tensor in (layer.keys, layer.values))

    assert kv_cache_bytes(DecoderShape.of(model.config), [40] * LAYERS, bytes_per_element=4) == held


def test_published_ratios_are_reproduced() -> None:
    """Qwen2-Audio: 78.64% of the audio tokens after the input, 14.91% from layer 29 on (arXiv 2604.06871)."""
    shape = DecoderShape.of(
        Qwen2Config(
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
        )
    )
    tokens = 220
    vanilla = prefill_flops_audio(shape, [tokens] * 32)
    merged, deep = round(tokens * 0.7864), round(tokens * 0.1491)

    assert prefill_flops_audio(shape, [merged] * 32) / vanilla == pytest.approx(0.7849, abs=5e-4)
    assert prefill_flops_audio(shape, [merged] * 29 + [deep] * 3) / vanilla == pytest.approx(0.7252, abs=5e-4)


def test_the_encoder_is_counted_without_the_decoder() -> None:
    model = speech_llm(**DECODERS["dense"])
    ids = token_ids(40)
    ids[:, 5:30] = AUDIO
    audio = {"input_features": torch.randn(1, 16, 100), "feature_attention_mask": torch.ones(1, 100, dtype=torch.long)}
    whole, decoder = run(model, input_ids=ids, **audio)[1], run(model, input_ids=ids)[1]

    assert encoder_flops(model, {"input_ids": ids, **audio}) == pytest.approx(whole - decoder, rel=0.01)
    assert run(model, input_ids=ids, **audio)[1] == whole, "a hook was left behind"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DeepseekV2Config(), "latent attention"),
        (Qwen2Config(num_hidden_layers=2, layer_types=["full_attention", "linear_attention"]), "linear_attention"),
        (GPT2Config(), "intermediate_size"),
    ],
    ids=["latent attention", "linear attention", "no such field"],
)
def test_decoders_without_a_formula_are_refused(config: PreTrainedConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DecoderShape.of(config)


def test_lengths_must_be_given_for_every_layer() -> None:
    with pytest.raises(ValueError, match="each of 3 layers, got 2"):
        prefill_flops(DecoderShape.of(Qwen2Config(num_hidden_layers=3)), [10, 10])
