"""Decoder FLOPs and cache bytes, counted from the lengths that each layer really processed.

A multiply-add is 2 FLOPs. Attention counts all query-key pairs, causal or not, as the kernels' own formulas in
``torch.utils.flop_counter`` do. Norms, activations, softmax, rotary embeddings and embedding look-ups are left out
(below 1% in any real decoder).
"""

from __future__ import annotations

from collections.abc import Sequence

from tuner.costs.shape import DecoderShape, LayerShape


def prefill_flops(shape: DecoderShape, lengths: Sequence[int], head_tokens: int = 1) -> int:
    """FLOPs of one prompt's pass through the decoder, from its first layer on, as generation runs it.

    Args:
        shape: the decoder.
        lengths: ``[layers]``, the prompt's tokens at each layer, without padding.
        head_tokens: positions that the output head computed: 1 where generation asks for the last one only, the last
            layer's length for models that compute them all (Qwen2-Audio does).
    """
    layers = sum(layer.prefill(tokens) for layer, tokens in _paired(shape, lengths))
    return layers + shape.exit.prefill(int(lengths[-1])) + 2 * shape.head * head_tokens


def prefill_flops_audio(shape: DecoderShape, audio_lengths: Sequence[int]) -> int:
    """The same as if the prompt were its audio tokens alone, without the head: the scope of the published ratios of
    Affinity Pooling (https://arxiv.org/abs/2604.06871). Not a cost that anything really has."""
    return prefill_flops(shape, audio_lengths, head_tokens=0)


def decode_flops(shape: DecoderShape, lengths: Sequence[int], generated: int) -> int:
    """FLOPs of the passes after prefill. Prefill makes the first token, so ``generated`` tokens take one pass fewer.

    Args:
        shape: the decoder.
        lengths: ``[layers]``, the prompt's tokens at each layer, without padding.
        generated: tokens in the output, the end token included.
    """
    passes = max(generated - 1, 0)
    layers = sum(layer.decode(tokens + step) for layer, tokens in _paired(shape, lengths) for step in range(passes))
    return layers + passes * (shape.entry + shape.exit.step + 2 * shape.head)


def kv_cache_bytes(shape: DecoderShape, lengths: Sequence[int], bytes_per_element: int) -> int:
    """Bytes that one prompt leaves in the cache; ``lengths`` as for :func:`prefill_flops`.

    ``bytes_per_element`` is that of keys and values. States of constant size count with the bytes that they have.
    """
    return sum(layer.cache_bytes(tokens, bytes_per_element) for layer, tokens in _paired(shape, lengths))


def _paired(shape: DecoderShape, lengths: Sequence[int]) -> list[tuple[LayerShape, int]]:
    if len(lengths) != len(shape.layers):
        raise ValueError(f"expected a length for each of {len(shape.layers)} layers, got {len(lengths)}")
    return [(layer, int(tokens)) for layer, tokens in zip(shape.layers, lengths, strict=True)]
