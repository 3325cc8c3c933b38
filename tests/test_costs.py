"""Counted costs against torch's own FLOP counter on real, tiny models, and against the paper's ratios."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    Gemma3nTextConfig,
    Gemma4TextConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    NemotronHConfig,
    Phi4MultimodalConfig,
    PreTrainedConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

from tuner.costs.counted import counter, encoder_flops
from tuner.costs.decoder import decoder_shape
from tuner.costs.flops import decode_flops, kv_cache_bytes, prefill_flops, prefill_flops_audio
from tuner.costs.shape import DecoderShape
from tuner.errors import ModelError
from tuner.runtime.models import describe

AUDIO, TOKENS = 5, 90
LAYERS = 3
BASE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 200,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
EXPERTS = {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}
# Windows are shorter than the prompt, chunks do not divide it.
SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
GEMMA = {
    "head_dim": 16,
    "num_hidden_layers": 5,
    "num_kv_shared_layers": 2,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 200,
}
STATE_SPACE = {"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2, "chunk_size": 16}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "crop_size": 112,
}
AUDIO_ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_blocks": 1,
    "num_attention_heads": 2,
    "nemo_conv_channels": 32,
    "ext_pw_out_channel": 32,
    "audio_token_id": AUDIO,
}
DECODERS: dict[str, PreTrainedConfig] = {
    "dense": Qwen2Config(**BASE),
    "tied head": Qwen2Config(**BASE, tie_word_embeddings=True),
    "every head its keys": LlamaConfig(**BASE | {"num_key_value_heads": 4}),
    "own head size": Qwen3Config(**BASE | {"num_key_value_heads": 1}, head_dim=32),
    "scaled residuals": GraniteConfig(**BASE),
    "fused projections": Phi4MultimodalConfig(**BASE, vision_config=VISION, audio_config=AUDIO_ENCODER),
    "sliding windows": MistralConfig(**BASE, sliding_window=16),
    "sliding and full": Qwen2Config(**BASE, use_sliding_window=True, **SLIDING),
    "experts": MixtralConfig(**BASE, num_local_experts=4, num_experts_per_tok=2),
    "experts and a shared one": Qwen2MoeConfig(**BASE, shared_expert_intermediate_size=80, **EXPERTS),
    "experts in every second layer": Qwen3MoeConfig(**BASE, decoder_sparse_step=2, **EXPERTS),
    "a layer without experts": Qwen3MoeConfig(**BASE, mlp_only_layers=[1], **EXPERTS),
    "several streams and shared keys": Gemma3nTextConfig(
        **BASE | GEMMA, laurel_rank=4, activation_sparsity_pattern=[0.9, 0.0, 0.0, 0.0, 0.0]
    ),
    "shared keys, last row alone": Gemma4TextConfig(**BASE | GEMMA, global_head_dim=32, use_double_wide_mlp=True),
    "experts beside the MLP, keys as values": Gemma4TextConfig(
        **BASE,
        **SLIDING,
        head_dim=16,
        global_head_dim=32,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        hidden_size_per_layer_input=0,
        enable_moe_block=True,
        num_experts=6,
        top_k_experts=2,
        moe_intermediate_size=48,
    ),
    "state spaces, attention, experts": NemotronHConfig(
        **BASE | {"num_hidden_layers": 4},
        **STATE_SPACE,
        head_dim=16,
        layers_block_type=["mamba", "attention", "mlp", "moe"],
        n_routed_experts=6,
        num_experts_per_tok=2,
        moe_intermediate_size=48,
        moe_shared_expert_intermediate_size=24,
        moe_latent_size=32,
    ),
}


def decoder(config: PreTrainedConfig, attention: str = "sdpa") -> Any:
    """A text decoder that calls one of its tokens audio, as if a speech LLM."""
    # The counter does not see into the fused kernels for experts.
    options = {"attn_implementation": attention, "experts_implementation": "eager"}
    model = AutoModelForCausalLM.from_config(config, **options).eval()
    model.config.audio_token_id = AUDIO
    return model


def speech_llm(**text: Any) -> Any:
    """A Qwen2-Audio, whose forward computes the head at every position."""
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
        text_config={"model_type": "qwen2", **BASE, **text},
        audio_token_index=AUDIO,
    )
    return Qwen2AudioForConditionalGeneration(config).eval()


def token_ids(tokens: int) -> torch.Tensor:
    return torch.randint(10, 200, (1, tokens), generator=torch.Generator().manual_seed(0))


def run(model: Any, **inputs: Any) -> tuple[Any, int]:
    with torch.no_grad(), counter() as flops:
        outputs = model(**inputs)
    return outputs, flops.get_total_flops()


def generate(model: Any, new_tokens: int) -> tuple[Any, int]:
    """The cache after generating from a prompt, and the FLOPs of its decoder, from the first layer on."""
    ids, options = token_ids(TOKENS), {"max_new_tokens": new_tokens, "do_sample": False}
    with counter() as flops:
        outputs = model.generate(ids, return_dict_in_generate=True, **options)
    return outputs.past_key_values, flops.get_total_flops() - encoder_flops(model, {"input_ids": ids})


def bytes_held(cache: Any) -> int:
    states = [state for layer in cache.layers for state in getattr(layer, "conv_states", {}).values()]
    states += [state for layer in cache.layers for state in getattr(layer, "recurrent_states", {}).values()]
    keys_and_values = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    return sum(tensor.nbytes for tensor in states + keys_and_values if tensor is not None)


@pytest.mark.parametrize("name", DECODERS)
def test_generation_costs_what_was_predicted(name: str) -> None:
    model, generated = decoder(DECODERS[name]), 4
    shape = decoder_shape(describe(model))
    lengths = [TOKENS] * len(shape.layers)

    cache, prefill = generate(model, 1)
    whole = generate(model, generated)[1]

    assert prefill_flops(shape, lengths) == prefill
    assert decode_flops(shape, lengths, generated) == whole - prefill
    assert kv_cache_bytes(shape, lengths, bytes_per_element=4) == bytes_held(cache)


@pytest.mark.parametrize("name", ["dense", "shared keys, last row alone"])
def test_the_way_attention_is_computed_does_not_matter(name: str) -> None:
    sdpa, eager = (decoder(DECODERS[name], attention) for attention in ("sdpa", "eager"))

    assert decoder_shape(describe(sdpa)) == decoder_shape(describe(eager))
    assert generate(sdpa, 4)[1] == generate(eager, 4)[1]


def test_a_head_at_every_position_counts_as_often() -> None:
    model = speech_llm()
    counted = run(model, input_ids=token_ids(TOKENS), use_cache=True)[1]

    assert prefill_flops(decoder_shape(describe(model)), [TOKENS] * LAYERS, head_tokens=TOKENS) == counted


class Adapted(nn.Module):
    """A projection with two low-rank adapters, of which one is active: https://arxiv.org/abs/2106.09685."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        down = {name: nn.Linear(base.in_features, 8, bias=False) for name in ("speech", "vision")}
        up = {name: nn.Linear(8, base.out_features, bias=False) for name in down}
        self.down, self.up = nn.ModuleDict(down), nn.ModuleDict(up)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = self.base(hidden) + self.up["speech"](self.down["speech"](hidden))
        return adapted


def test_adapters_count_while_they_are_active() -> None:
    model = decoder(DECODERS["fused projections"])
    for layer in model.model.layers:
        layer.self_attn.qkv_proj = Adapted(layer.self_attn.qkv_proj)

    assert prefill_flops(decoder_shape(describe(model)), [TOKENS] * LAYERS) == generate(model, 1)[1]


def test_each_layer_is_counted_at_its_own_length() -> None:
    model = speech_llm()
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

    assert prefill_flops(decoder_shape(describe(model)), [90, 30, 30], head_tokens=0) == merged


def test_counting_leaves_the_model_as_it_was() -> None:
    model = decoder(DECODERS["experts"])
    seen: list[object] = []
    hook = model.register_forward_pre_hook(lambda *_: seen.append(None))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    decoder_shape(describe(model))

    assert not seen, "a hook of the model's own saw its copy run"
    assert list(model._forward_pre_hooks) == [hook.id]
    assert model.config._experts_implementation == "eager"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_published_ratios_are_reproduced() -> None:
    """Qwen2-Audio: 78.64% of the audio tokens after the input, 14.91% from layer 29 on (arXiv 2604.06871)."""
    with torch.device("meta"):
        model = decoder(Qwen2Config(num_hidden_layers=1, hidden_size=4096, intermediate_size=11008))
    layer = decoder_shape(describe(model)).layers[0]
    shape = DecoderShape((layer,) * 32, head=0)
    tokens = 220
    vanilla = prefill_flops_audio(shape, [tokens] * 32)
    merged, deep = round(tokens * 0.7864), round(tokens * 0.1491)

    assert prefill_flops_audio(shape, [merged] * 32) / vanilla == pytest.approx(0.7849, abs=5e-4)
    assert prefill_flops_audio(shape, [merged] * 29 + [deep] * 3) / vanilla == pytest.approx(0.7252, abs=5e-4)


def test_the_encoder_is_counted_without_the_decoder() -> None:
    model = speech_llm()
    ids = token_ids(40)
    ids[:, 5:30] = AUDIO
    audio = {"input_features": torch.randn(1, 16, 100), "feature_attention_mask": torch.ones(1, 100, dtype=torch.long)}
    whole, decoder_alone = run(model, input_ids=ids, **audio)[1], run(model, input_ids=ids)[1]

    assert encoder_flops(model, {"input_ids": ids, **audio}) == pytest.approx(whole - decoder_alone, rel=0.01)
    assert run(model, input_ids=ids, **audio)[1] == whole, "a hook was left behind"


class LooksAtTheData(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden if hidden.sum() > 0 else -hidden


def unrunnable() -> Any:
    """A layer that looks at the numbers it gets."""
    model = decoder(DECODERS["dense"])
    model.model.layers[0].mlp.register_module("act_fn", LooksAtTheData())
    return model


def latent() -> Any:
    """Keys and values that are made anew from a latent in every decoding pass."""
    latents = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
    return decoder(DeepseekV2Config(**BASE | {"num_key_value_heads": 4}, **latents, first_k_dense_replace=LAYERS))


@pytest.mark.parametrize(
    ("make", "message"),
    [(latent, "no formula for the cost of decoder layer 0"), (unrunnable, "does not run without weights")],
    ids=["latent attention", "control flow by data"],
)
def test_decoders_without_a_formula_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        decoder_shape(describe(make()))


def test_lengths_must_be_given_for_every_layer() -> None:
    with pytest.raises(ValueError, match="each of 3 layers, got 2"):
        prefill_flops(decoder_shape(describe(speech_llm())), [10, 10])
