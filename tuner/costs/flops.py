"""Decoder FLOPs and cache bytes, counted from the lengths that each layer really processed.

A multiply-add is 2 FLOPs. Attention counts all query-key pairs, causal or not, as the kernels' own formulas in
``torch.utils.flop_counter`` do. Norms, activations, softmax, rotary embeddings and embedding look-ups are left out
(below 1% in any real decoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.errors import ModelError

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_FULL, _SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class LayerShape:
    """What one token costs one layer.

    Attributes:
        weights: entries of the matrices that a token is multiplied with; of a mixture, its router and its own experts.
        attention_width: query heads times head size.
        cache_width: numbers that a token leaves in the cache, keys and values together.
        window: the sliding attention's window in tokens, None for full attention.
    """

    weights: int
    attention_width: int
    cache_width: int
    window: int | None = None

    def cached(self, tokens: int) -> int:
        """How many of so many tokens are in the cache (a window of n looks n - 1 tokens back)."""
        return tokens if self.window is None else min(tokens, self.window - 1)


@dataclass(frozen=True)
class DecoderShape:
    """A decoder's layers, and the entries of its output head (the same work whether tied to the embeddings or not)."""

    layers: tuple[LayerShape, ...]
    head: int

    @classmethod
    def of(cls, config: Any) -> DecoderShape:
        """Read a transformers config (the text config, or the config that holds it) of a decoder with gated MLPs.

        Raises:
            ModelError: a field is missing, or a kind of layer has no formula here (latent or linear attention, state
                spaces, layers that share a cache).
        """
        config = config.get_text_config(decoder=True)
        if _field(config, "kv_lora_rank") or _field(config, "num_kv_shared_layers"):
            raise ModelError(f"{config.model_type}: no FLOP formula for latent attention or for layers sharing a cache")
        count, hidden = _need(config, "num_hidden_layers"), _need(config, "hidden_size")
        kinds = _field(config, "layer_types") or [_FULL] * count
        if unknown := set(kinds) - {_FULL, _SLIDING}:
            raise ModelError(f"{config.model_type}: no FLOP formula for layers of kind {', '.join(sorted(unknown))}")
        heads = _need(config, "num_attention_heads")
        head_dim = _field(config, "head_dim") or hidden // heads
        width = heads * head_dim
        cache_width = 2 * (_field(config, "num_key_value_heads") or heads) * head_dim
        layers = tuple(
            LayerShape(
                weights=hidden * (width + cache_width) + width * hidden + _mlp_weights(config, index),
                attention_width=width,
                cache_width=cache_width,
                window=_need(config, "sliding_window") if kinds[index] == _SLIDING else None,
            )
            for index in range(count)
        )
        return cls(layers, head=hidden * _need(config, "vocab_size"))


def prefill_flops(shape: DecoderShape, lengths: Sequence[int], head_tokens: int = 1) -> int:
    """FLOPs of one prompt's pass through the decoder.

    Args:
        shape: the decoder.
        lengths: ``[layers]``, tokens that each layer processed, without padding.
        head_tokens: positions that the output head computed: 1 where generation asks for the last one only, the last
            layer's length for models that compute them all (Qwen2-Audio does).
    """
    return 2 * shape.head * head_tokens + sum(
        2 * layer.weights * tokens + 4 * layer.attention_width * tokens * tokens
        for layer, tokens in _paired(shape, lengths)
    )


def prefill_flops_audio(shape: DecoderShape, audio_lengths: Sequence[int]) -> int:
    """The same as if the prompt were its audio tokens alone, without the head: the scope of the published ratios of
    Affinity Pooling (https://arxiv.org/abs/2604.06871). Not a cost that anything really has."""
    return prefill_flops(shape, audio_lengths, head_tokens=0)


def decode_flops(shape: DecoderShape, lengths: Sequence[int], generated: int) -> int:
    """FLOPs of the passes after prefill. Prefill makes the first token, so ``generated`` tokens take one pass fewer.

    Args:
        shape: the decoder.
        lengths: ``[layers]``, tokens that each layer processed in prefill.
        generated: tokens in the output, the end token included.
    """
    passes = max(generated - 1, 0)
    total = passes * 2 * shape.head
    for layer, tokens in _paired(shape, lengths):
        keys = sum(layer.cached(tokens + step) + 1 for step in range(passes))
        total += passes * 2 * layer.weights + 4 * layer.attention_width * keys
    return total


def kv_cache_bytes(shape: DecoderShape, lengths: Sequence[int], bytes_per_element: int) -> int:
    """Bytes that one prompt's keys and values hold after prefill; ``lengths`` as for :func:`prefill_flops`."""
    numbers = sum(layer.cache_width * layer.cached(tokens) for layer, tokens in _paired(shape, lengths))
    return numbers * bytes_per_element


def _paired(shape: DecoderShape, lengths: Sequence[int]) -> list[tuple[LayerShape, int]]:
    if len(lengths) != len(shape.layers):
        raise ValueError(f"expected a length for each of {len(shape.layers)} layers, got {len(lengths)}")
    return [(layer, int(tokens)) for layer, tokens in zip(shape.layers, lengths, strict=True)]


def _mlp_weights(config: Any, index: int) -> int:
    hidden = _need(config, "hidden_size")
    experts = next((number for name in _EXPERTS if (number := _field(config, name))), 0)
    if not experts or not _is_mixture(config, index):
        return 3 * hidden * _need(config, "intermediate_size")
    width = _field(config, "moe_intermediate_size") or _need(config, "intermediate_size")
    weights = hidden * experts + 3 * hidden * width * _need(config, "num_experts_per_tok")
    if shared := _field(config, "shared_expert_intermediate_size"):
        weights += 3 * hidden * shared + hidden  # and the gate that scales it
    return weights + 3 * hidden * width * (_field(config, "n_shared_experts") or 0)


def _is_mixture(config: Any, index: int) -> bool:
    """Whether a mixture-of-experts decoder has its experts in this layer, by the fields its family says it with."""
    if kinds := _field(config, "mlp_layer_types"):
        return bool(kinds[index] == "sparse")
    return (
        index not in (_field(config, "mlp_only_layers") or ())
        and (index + 1) % (_field(config, "decoder_sparse_step") or 1) == 0
        and index >= (_field(config, "first_k_dense_replace") or 0)
    )


def _field(config: Any, name: str) -> Any:
    return getattr(config, name, None)


def _need(config: Any, name: str) -> int:
    value = _field(config, name)
    if not isinstance(value, int):
        raise ModelError(f"{config.model_type}: cannot count FLOPs, its config has no number {name!r} (got {value!r})")
    return value
