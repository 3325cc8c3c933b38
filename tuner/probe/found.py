"""The redundancy map of one model on one set of utterances: what a probe found, and its JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuner.errors import TunerError
from tuner.probe.curves import THRESHOLDS, Curve
from tuner.probe.effect import Effect
from tuner.probe.likeness import Likeness
from tuner.probe.maps import GroupMap
from tuner.probe.stretches import Stretch
from tuner.tasks.metric import Metric, named

FILE = "probe.json"


@dataclass(frozen=True)
class RedundancyMap:
    """What a probe found.

    Attributes:
        fingerprint: of the model, as in policies.
        layers: how many the decoder has.
        aligned: how many of the `utterances` have words; the others were divided into windows.
        tolerance: how much worse counts as no worse.
        quality, beside: the baseline's, by `metric` and by the one shown beside it.
        verdict: what it says of the published hierarchy, sentence by sentence.
    """

    model: str
    fingerprint: str
    layers: int
    task: str
    metric: str
    dataset: str
    split: str
    utterances: int
    aligned: int
    tolerance: float
    quality: float
    beside: float | None
    effects: tuple[Effect, ...]
    likeness: tuple[Likeness, ...]
    curves: tuple[Curve, ...]
    maps: tuple[GroupMap, ...]
    verdict: tuple[str, ...]

    @property
    def judged_by(self) -> Metric:
        """The metric that `metric` names."""
        return named(self.metric)

    def save(self, folder: Path) -> Path:
        """Writes the file; returns its path."""
        path = folder / FILE
        path.write_text(json.dumps({**asdict(self), "thresholds": THRESHOLDS}), encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: Path) -> RedundancyMap:
        """The inverse of `save`.

        Raises:
            TunerError: there is no such file, or another version wrote it.
        """
        path = folder / FILE
        if not path.is_file():
            raise TunerError(f"{folder} holds no {FILE}; give the run of a finished probe (tune probe --run NAME)")
        try:
            return _from_json(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise TunerError(f"{path} was written by another version of this program; probe again") from error


def _from_json(data: Mapping[str, Any]) -> RedundancyMap:
    if tuple(data["thresholds"]) != THRESHOLDS:
        raise ValueError("other thresholds")
    found = {name: value for name, value in data.items() if name != "thresholds"}
    found["effects"] = tuple(Effect(**one) for one in data["effects"])
    found["likeness"] = tuple(Likeness(**one) for one in data["likeness"])
    found["curves"] = tuple(Curve(**{**one, "kept": tuple(one["kept"])}) for one in data["curves"])
    found["maps"] = tuple(_map(one) for one in data["maps"])
    found["verdict"] = tuple(data["verdict"])
    return RedundancyMap(**found)


def _map(data: Mapping[str, Any]) -> GroupMap:
    words = tuple(Stretch(**one) for one in data["words"])
    return GroupMap(**{**data, "words": words, "groups": tuple(tuple(row) for row in data["groups"])})
