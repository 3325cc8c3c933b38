"""What one more merge site would keep at any strength, known exactly from one prefill without it.

The tokens that enter a layer do not depend on what is merged there: their traces, such as similarities, tell how many
go at every threshold or ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from tuner.evaluate.records import Evaluation
from tuner.methods.known import method_of
from tuner.sites import MergeSite


@dataclass(frozen=True)
class Traces:
    """One utterance's tokens before a layer: a method's `traces` [tokens, width] of them, and `mergeable` [tokens]."""

    traces: Tensor
    mergeable: Tensor


class Retention:
    """The evaluations that a site at `layer` would lead to, its method and window those of the traces.

    Args:
        prefill: the lengths without the site.
        found: traces by utterance id.
        layer: where the site would be; no other site may be behind it.
    """

    def __init__(self, prefill: Evaluation, found: Mapping[str, Traces], layer: int) -> None:
        self.prefill, self.layer = prefill, layer
        ordered = [found[record.id] for record in prefill.records]
        longest = max(len(one.mergeable) for one in ordered)
        self._traces = torch.stack([pad(one.traces, (0, 0, longest - len(one.traces), 0)) for one in ordered])
        self._mergeable = torch.stack([pad(one.mergeable, (longest - len(one.mergeable), 0)) for one in ordered])

    def at(self, site: MergeSite) -> Evaluation:
        """What a prefill with the site would have recorded, whatever its threshold or ratio."""
        gone = method_of(site).goes(self._traces, self._mergeable).tolist()
        records = tuple(
            replace(
                record,
                tokens=self._shorter(record.tokens, fewer),
                audio_tokens=self._shorter(record.audio_tokens, fewer),
            )
            for record, fewer in zip(self.prefill.records, gone, strict=True)
        )
        return replace(self.prefill, records=records)

    def _shorter(self, lengths: tuple[int, ...], fewer: int) -> tuple[int, ...]:
        return tuple(length - fewer * (layer >= self.layer) for layer, length in enumerate(lengths))
