"""What one more merge site would keep at any threshold, known exactly from one prefill without it.

The tokens that enter a layer do not depend on what is merged there: their similarities tell every threshold's groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from tuner.evaluate.records import Evaluation
from tuner.runtime.affinity import joins_at


@dataclass(frozen=True)
class Similarities:
    """One utterance's tokens before a layer: `similar` [tokens, window] to those before them, `mergeable` [tokens]."""

    similar: Tensor
    mergeable: Tensor


class Retention:
    """The evaluations that a site at `layer` would lead to, its window that of the similarities.

    Args:
        prefill: the lengths without the site.
        found: similarities by utterance id.
        layer: where the site would be; no other site may be behind it.
    """

    def __init__(self, prefill: Evaluation, found: Mapping[str, Similarities], layer: int) -> None:
        self.prefill, self.layer = prefill, layer
        ordered = [found[record.id] for record in prefill.records]
        longest = max(len(one.mergeable) for one in ordered)
        self._similar = torch.stack([pad(one.similar, (0, 0, longest - len(one.similar), 0)) for one in ordered])
        self._mergeable = torch.stack([pad(one.mergeable, (longest - len(one.mergeable), 0)) for one in ordered])

    def at(self, threshold: float) -> Evaluation:
        """What a prefill with the site would have recorded."""
        joined = joins_at(self._similar, self._mergeable, threshold).sum(1).tolist()
        records = tuple(
            replace(
                record,
                tokens=self._shorter(record.tokens, fewer),
                audio_tokens=self._shorter(record.audio_tokens, fewer),
            )
            for record, fewer in zip(self.prefill.records, joined, strict=True)
        )
        return replace(self.prefill, records=records)

    def _shorter(self, lengths: tuple[int, ...], fewer: int) -> tuple[int, ...]:
        return tuple(length - fewer * (layer >= self.layer) for layer, length in enumerate(lengths))
