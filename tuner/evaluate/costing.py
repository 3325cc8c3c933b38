"""Cost ratios of a policy to the baseline, from the lengths that ran."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.costs import flops
from tuner.costs.decoder import decoder_shape
from tuner.costs.shape import DecoderShape
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel

# What a budget can bound, and what is reported beside it.
COSTS = ("prefill_flops", "kv_cache", "prefill_flops_audio", "end_to_end_flops")
PerUtterance = Mapping[str, NDArray[np.float64]]  # cost name -> [utterances]


@dataclass(frozen=True)
class Costing:
    """Counts FLOPs and bytes for one model. `encoder` holds the FLOPs before the decoder by utterance id."""

    shape: DecoderShape
    bytes_per_element: int
    head_everywhere: bool
    encoder: Mapping[str, float]

    @classmethod
    def of(cls, loaded: LoadedModel, encoder: Mapping[str, float]) -> Costing:
        """Counts the decoder's shape, and looks whether its forward computes logits for the whole prompt or one token.

        Raises:
            ModelError: the decoder's cost has no formula here.
        """
        head_everywhere = "logits_to_keep" not in inspect.signature(type(loaded.speech.root).forward).parameters
        return cls(decoder_shape(loaded.speech), loaded.model.dtype.itemsize, head_everywhere, encoder)

    def prefill(self, tokens: Sequence[int]) -> int:
        """FLOPs of one prompt, `tokens` by layer, with the head wherever the model computes it."""
        return flops.prefill_flops(self.shape, tokens, tokens[-1] if self.head_everywhere else 1)

    def kv_cache(self, tokens: Sequence[int]) -> int:
        """Bytes that one prompt leaves in the cache, `tokens` by layer."""
        return flops.kv_cache_bytes(self.shape, tokens, self.bytes_per_element)

    def count(self, evaluation: Evaluation) -> PerUtterance:
        """Absolute costs per utterance; `end_to_end_flops` includes encoder, prefill and decode."""
        rows: dict[str, list[float]] = {name: [] for name in COSTS}
        for record in evaluation.records:
            prefill = self.prefill(record.tokens)
            decode = flops.decode_flops(self.shape, record.tokens, record.generated)
            rows["prefill_flops"].append(prefill)
            rows["kv_cache"].append(self.kv_cache(record.tokens))
            rows["prefill_flops_audio"].append(flops.prefill_flops_audio(self.shape, record.audio_tokens))
            rows["end_to_end_flops"].append(self.encoder[record.id] + prefill + decode)
        return {name: np.array(values, dtype=np.float64) for name, values in rows.items()}


def ratios(policy: PerUtterance, baseline: PerUtterance) -> dict[str, float]:
    """Ratios of sums over the same utterances: 0.7 means thirty percent saved."""
    return {name: float(policy[name].sum() / baseline[name].sum()) for name in COSTS}
