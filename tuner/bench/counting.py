"""What one prefill costs in FLOPs and cache, counted as it runs and by formula, and how many tokens the layers saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.bench.prefill import Inputs, prefill
from tuner.costs.counted import counter, encoder_flops
from tuner.costs.memory import cache_bytes
from tuner.errors import ModelError
from tuner.evaluate.costing import Costing
from tuner.loading import LoadedModel
from tuner.policy import Policy

Lengths = tuple[tuple[int, ...], ...]  # [batch][layers]


@dataclass(frozen=True)
class Counts:
    """One batch's prefill under one policy.

    Attributes:
        tokens, audio_tokens: what each layer processed, [batch][layers].
        encoder_flops: everything before the first decoder layer.
        prefill_flops: the decoder's, head included, as torch counts them.
        kv_bytes: what the cache's tensors hold.
        prefill_flops_formula, kv_bytes_formula: from the lengths; None where there is no formula for the decoder.
    """

    tokens: Lengths
    audio_tokens: Lengths
    encoder_flops: int
    prefill_flops: int
    kv_bytes: int
    prefill_flops_formula: int | None
    kv_bytes_formula: int | None


def costing_of(loaded: LoadedModel) -> Costing | None:
    """The formulas for a model's decoder, None where there are none."""
    try:
        return Costing.of(loaded, {})
    except ModelError:
        return None


def count(loaded: LoadedModel, policy: Policy, inputs: Inputs, costing: Costing | None) -> Counts:
    """Runs one prefill under `policy` and counts.

    Raises:
        ModelError: no audio tokens were seen in the prompt.
    """
    before = encoder_flops(loaded.model, inputs)
    counted = counter()
    with policy.applied(loaded.model) as handle, counted:
        cache = prefill(loaded, inputs)
    if handle.lengths is None:
        raise ModelError(f"{loaded.id}: no audio tokens were seen in its prompt; is its processor the right one?")
    tokens = _rows(handle.lengths.tokens.tolist())
    return Counts(
        tokens=tokens,
        audio_tokens=_rows(handle.lengths.audio_tokens.tolist()),
        encoder_flops=before,
        prefill_flops=counted.get_total_flops() - before,
        kv_bytes=cache_bytes(cache),
        prefill_flops_formula=None if costing is None else sum(map(costing.prefill, tokens)),
        kv_bytes_formula=None if costing is None else sum(map(costing.kv_cache, tokens)),
    )


def _rows(lengths: Sequence[Sequence[int]]) -> Lengths:
    return tuple(tuple(row) for row in lengths)
