"""What one policy did to each utterance: the only thing quality and costs are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class UtteranceRecord:
    """One utterance under one policy.

    `errors` of `total` reference words (or the task's unit) went wrong; `tokens` and `audio_tokens` are what each
    decoder layer processed at prefill; `generated` counts the answer's tokens, `hit_limit` says that it was cut off.
    """

    id: str
    seconds: float
    text: str
    errors: int
    total: int
    tokens: tuple[int, ...]
    audio_tokens: tuple[int, ...]
    generated: int
    hit_limit: bool


@dataclass(frozen=True)
class Evaluation:
    """One policy over one split, records in the split's order. `policy` is `Policy.hash`."""

    policy: str
    split: str
    records: tuple[UtteranceRecord, ...]
    wall_seconds: float

    @property
    def errors(self) -> NDArray[np.int64]:
        """Errors per utterance, [utterances]."""
        return np.array([record.errors for record in self.records], dtype=np.int64)

    @property
    def totals(self) -> NDArray[np.int64]:
        """Reference words per utterance, [utterances]."""
        return np.array([record.total for record in self.records], dtype=np.int64)

    @property
    def quality(self) -> float:
        """Error rate as a ratio of sums: 0 is perfect."""
        return float(self.errors.sum() / max(self.totals.sum(), 1))

    @property
    def broken(self) -> float:
        """Share of outputs that are empty or were cut off at the length limit: the loop guard."""
        bad = [record.hit_limit or not record.text.strip() for record in self.records]
        return float(np.mean(bad)) if bad else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`."""
        records = tuple(
            UtteranceRecord(**{**row, "tokens": tuple(row["tokens"]), "audio_tokens": tuple(row["audio_tokens"])})
            for row in data["records"]
        )
        return cls(data["policy"], data["split"], records, data["wall_seconds"])
