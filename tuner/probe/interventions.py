"""Oracle interventions, one layer at a time, and the file that remembers those that are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tuner.evaluate.records import Evaluation
from tuner.search import journal


@dataclass(frozen=True, order=True)
class Intervention:
    """Before decoder layer `layer` the share `retention` of each word's tokens is left, by `method`."""

    layer: int
    method: str
    retention: float


def planned(layers: Sequence[int], methods: Sequence[str], retentions: Sequence[float]) -> Iterator[Intervention]:
    """Every combination, layer by layer."""
    for layer in layers:
        for retention in sorted(set(retentions)):
            for method in methods:
                yield Intervention(layer, method, retention)


class Ledger:
    """What interventions did, one a line of a JSONL file, so that an interrupted probe loses at most one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = dict(_read(path))

    def add(self, intervention: Intervention, evaluation: Evaluation) -> None:
        """Remembers one more, for good."""
        journal.append(self._path, {**asdict(intervention), "evaluation": evaluation.to_json()})
        self.done[intervention] = evaluation


def _read(path: Path) -> Iterator[tuple[Intervention, Evaluation]]:
    for content in journal.read(path):
        evaluation = Evaluation.from_json(content.pop("evaluation"))
        yield Intervention(**content), evaluation
