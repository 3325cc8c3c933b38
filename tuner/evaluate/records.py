"""What one policy did to each utterance: the only thing quality and costs are computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.utterances import Utterance
from tuner.tasks.metric import WER, Metric, Statistics, named


@dataclass(frozen=True)
class UtteranceRecord:
    """One utterance under one policy.

    `statistics` are what the metric adds up (for ASR errors, words of the reference, errors up to their number);
    `tokens` and `audio_tokens` are what each decoder layer processed at prefill; `generated` counts the answer's
    tokens, `hit_limit` says that it was cut off.
    `answer` are those tokens, the end token included; `nats` is how unlikely the baseline's answer is under the policy,
    None where nobody asked.
    """

    id: str
    seconds: float
    text: str
    statistics: Statistics
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
        return cls(utterance.id, utterance.seconds, "", (), tokens, audio_tokens, generated, False, nats=nats)


@dataclass(frozen=True)
class Evaluation:
    """One policy over one split, records in the split's order. `policy` is `Policy.hash`.

    `decoded` is False where a candidate was given up before its answers were known: then there are lengths and nats,
    for the first of the utterances at least, but no texts and no statistics. `ties` counts tokens that were chosen over
    another by no more than rounding.
    """

    policy: str
    split: str
    records: tuple[UtteranceRecord, ...]
    wall_seconds: float
    decoded: bool = True
    ties: int = 0
    metric: Metric = WER

    @property
    def statistics(self) -> NDArray[np.float64]:
        """What the metric adds up, [utterances, statistics]."""
        return np.array([record.statistics for record in self.records], dtype=np.float64)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """How much there is to get right in each utterance: words of the reference, or questions; [utterances]."""
        return self.metric.size(self.statistics)

    @property
    def quality(self) -> float:
        """The metric, in its own direction, as a fraction; nan where nothing was decoded."""
        return self._corpus(self.metric)

    @property
    def beside(self) -> float:
        """The metric that is shown beside it; nan where there is none, or nothing was decoded."""
        return math.nan if self.metric.beside is None else self._corpus(named(self.metric.beside))

    @property
    def broken(self) -> float:
        """Share of outputs that are empty or were cut off at the length limit: the loop guard."""
        bad = [record.hit_limit or not record.text.strip() for record in self.records]
        return float(np.mean(bad)) if bad else 0.0

    def like(self, other: Evaluation) -> Evaluation:
        """This evaluation on the utterances of `other`, which may have heard fewer."""
        heard = {record.id for record in other.records}
        return replace(self, records=tuple(record for record in self.records if record.id in heard))

    def _corpus(self, metric: Metric) -> float:
        return float(metric.value(self.statistics.sum(axis=0))) if self.decoded else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {**asdict(self), "metric": self.metric.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`; reads what was written before there were other metrics than error rates, too.

        Raises:
            TunerError: the metric is not known here.
        """
        lists = ("statistics", "tokens", "audio_tokens", "answer")
        rows = ({**row, **{name: tuple(row[name]) for name in lists}} for row in map(_with_statistics, data["records"]))
        metric = named(data.get("metric", WER.name))
        return cls(**{**data, "metric": metric, "records": tuple(UtteranceRecord(**row) for row in rows)})


def _with_statistics(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record in today's form, of one that has errors and a total."""
    if "statistics" in row:
        return dict(row)
    others = {name: value for name, value in row.items() if name not in ("errors", "total")}
    return {**others, "statistics": (row["errors"], row["total"], min(row["errors"], row["total"]))}
