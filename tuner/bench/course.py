"""What one sampler found in one study, trial by trial, and how good that is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

from tuner.policy import Policy
from tuner.search import selection
from tuner.search.drift import HOPELESS


@dataclass(frozen=True)
class Judged:
    """One trial.

    Attributes:
        policy: what was proposed.
        drift: on the search split, in nats a word.
        cost: the ratio of the main cost.
        excess: by how much it exceeds each constraint.
        heard: how many utterances its pass was over; fewer than there are where it was given up.
        seconds: that solving its threshold and the pass took.
    """

    policy: Policy
    drift: float
    cost: float
    excess: dict[str, float]
    heard: int
    seconds: float

    @property
    def feasible(self) -> bool:
        """Whether it exceeds no constraint."""
        return all(excess <= 0 for excess in self.excess.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {**asdict(self), "policy": self.policy.model_dump(mode="json", by_alias=True)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Judged:
        """The inverse of `to_json`."""
        return cls(**{**data, "policy": Policy.model_validate(data["policy"])})


@dataclass(frozen=True)
class Course:
    """A study from its first trial to its last; `asking` are the seconds that the sampler itself took."""

    sampler: str
    solve: bool
    seed: int
    raced: bool
    trials: tuple[Judged, ...]
    asking: float

    @property
    def best(self) -> list[float]:
        """After each trial, the least drift of a feasible and whole one; infinite before there is any."""
        return list(accumulate((one.drift if self._counts(one) else math.inf for one in self.trials), min))

    def winner(self, count: int) -> Judged | None:
        """The trial that is best among the first `count`."""
        return min(filter(self._counts, self.trials[:count]), key=lambda one: one.drift, default=None)

    def hypervolume(self, count: int) -> float:
        """Share of all drifts up to `HOPELESS` and costs up to the bare model's that the first `count` dominate."""
        points = [(max(one.drift, 0.0), one.cost) for one in self.trials[:count] if self._counts(one)]
        inside = [(lost, cost) for lost, cost in points if lost < HOPELESS and cost < 1]
        front = [inside[place] for place in selection.front(inside)]  # by cost
        return sum((dearer - cost) * (1 - lost / HOPELESS) for (lost, cost), (_, dearer) in pairwise([*front, (0, 1)]))

    @property
    def passes(self) -> int:
        """Passes over an utterance, each policy's once."""
        return sum({one.policy.hash: one.heard for one in self.trials}.values())

    @property
    def judging(self) -> float:
        """Seconds that all trials took, without the sampler's own."""
        return sum(one.seconds for one in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {**asdict(self), "trials": [one.to_json() for one in self.trials]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Course:
        """The inverse of `to_json`."""
        return cls(**{**data, "trials": tuple(map(Judged.from_json, data["trials"]))})

    def _counts(self, one: Judged) -> bool:
        return one.feasible and one.heard == self._whole

    @property
    def _whole(self) -> int:
        return max(one.heard for one in self.trials)
