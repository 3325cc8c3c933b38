"""What one policy did to each utterance: the only thing quality and costs are computed from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.utterances import Utterance


@dataclass(frozen=True)
class UtteranceRecord:
    """One utterance under one policy.

    `errors` of `total` reference words (or the task's unit) went wrong; `tokens` and `audio_tokens` are what each
    decoder layer processed at prefill; `generated` counts the answer's tokens, `hit_limit` says that it was cut off.
    `answer` are those tokens, the end token included; `nats` is how unlikely the baseline's answer is under the policy,
    None where nobody asked.
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
    answer: tuple[int, ...] = ()
    nats: float | None = None

    @classmethod
    def unanswered(
        cls,
        utterance: Utterance,
        tokens: tuple[int, ...],
        audio_tokens: tuple[int, ...],
        nats: float | None = None,
        generated: int = 1,
    ) -> UtteranceRecord:
        """What is known without decoding. A prefill makes one token, whatever that says; `generated` where more are to
        be expected."""
        return cls(utterance.id, utterance.seconds, "", 0, 0, tokens, audio_tokens, generated, False, nats=nats)

    @property
    def clamped(self) -> int:
        """Errors, at most `total`: an output that never ends costs no more than an empty one."""
        return min(self.errors, self.total)


@dataclass(frozen=True)
class Evaluation:
    """One policy over one split, records in the split's order. `policy` is `Policy.hash`.

    `decoded` is False where a candidate was given up before its answers were known: then there are lengths and nats,
    for the first of the utterances at least, but no texts and no errors. `ties` counts tokens that were chosen over
    another by no more than rounding.
    """

    policy: str
    split: str
    records: tuple[UtteranceRecord, ...]
    wall_seconds: float
    decoded: bool = True
    ties: int = 0

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
        """Error rate as a ratio of sums: 0 is perfect; nan where nothing was decoded."""
        return self._rate(record.errors for record in self.records)

    @property
    def clamped(self) -> float:
        """The error rate with no utterance's errors above its total."""
        return self._rate(record.clamped for record in self.records)

    @property
    def broken(self) -> float:
        """Share of outputs that are empty or were cut off at the length limit: the loop guard."""
        bad = [record.hit_limit or not record.text.strip() for record in self.records]
        return float(np.mean(bad)) if bad else 0.0

    def like(self, other: Evaluation) -> Evaluation:
        """This evaluation on the utterances of `other`, which may have heard fewer."""
        heard = {record.id for record in other.records}
        return replace(self, records=tuple(record for record in self.records if record.id in heard))

    def _rate(self, errors: Iterable[int]) -> float:
        return sum(errors) / max(int(self.totals.sum()), 1) if self.decoded else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`."""
        lists = ("tokens", "audio_tokens", "answer")
        rows = ({**row, **{name: tuple(row[name]) for name in lists}} for row in data["records"])
        return cls(**{**data, "records": tuple(UtteranceRecord(**row) for row in rows)})
