"""What a benchmark found: lengths of audio, what was measured on each for each side, and ratios to the bare model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tuner.bench.clock import Phases
from tuner.bench.counting import Counts
from tuner.costs.memory import Peak
from tuner.policy import MergeSite

BASELINE = "baseline"


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one measurement."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """One side at one length of audio.

    Attributes:
        side: the policy's name, the shape's text, or `BASELINE`.
        sites: its merge sites, thresholds as they ran.
        retention: by site, audio tokens kept of those that entered.
        counts: None where memory ran out.
        peak: memory of one call of `generate()`, None where it cannot be measured.
        passes: every timed call of `generate()`, in order.
        merge_seconds: what all sites took together, in each of several prefills.
        problem: why nothing was measured; empty if it was.
    """

    side: str
    sites: tuple[MergeSite, ...] = ()
    retention: tuple[float, ...] = ()
    counts: Counts | None = None
    peak: Peak | None = None
    passes: tuple[Phases, ...] = ()
    merge_seconds: tuple[float, ...] = ()
    problem: str = ""

    def time(self, phase: Callable[[Phases], float]) -> Spread:
        """Seconds of a phase over all passes."""
        return Spread.of([phase(one) for one in self.passes])


@dataclass(frozen=True)
class Ratios:
    """A row over the bare model's at the same length, of medians where it is times.

    `merge` is the time at the merge sites by themselves over the bare model's prefill, which they shorten.
    """

    first_token: float
    prefill: float
    prefill_flops: float
    kv_bytes: float
    merge: float


@dataclass(frozen=True)
class Length:
    """One length of audio; its first row is the bare model's. `left_out` says why there is none."""

    seconds: float
    rows: tuple[Row, ...] = ()
    left_out: str = ""

    def ratios(self, row: Row) -> Ratios | None:
        """None where memory ran out for the row or for the bare model."""
        bare = self.rows[0]
        if not (row.passes and bare.passes and row.counts and bare.counts):
            return None
        prefill = bare.time(lambda one: one.prefill).median
        return Ratios(
            first_token=row.time(lambda one: one.first_token).median / bare.time(lambda one: one.first_token).median,
            prefill=row.time(lambda one: one.prefill).median / prefill,
            prefill_flops=row.counts.prefill_flops / bare.counts.prefill_flops,
            kv_bytes=row.counts.kv_bytes / bare.counts.kv_bytes,
            merge=median(row.merge_seconds) / prefill if row.merge_seconds else 0.0,
        )


@dataclass(frozen=True)
class Bench:
    """A whole benchmark and where it ran; `interrupted` if lengths are missing because someone pressed Ctrl-C."""

    model: str
    settings: dict[str, Any]
    environment: dict[str, str]
    lengths: tuple[Length, ...]
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything, down to each single time."""
        plain = asdict(self)
        for length, kept in zip(self.lengths, plain["lengths"], strict=True):
            for row, content in zip(length.rows, kept["rows"], strict=True):
                ratios = length.ratios(row)
                content["sites"] = [site.model_dump() for site in row.sites]
                content["ratios"] = None if ratios is None else asdict(ratios)
        return plain
