"""What a search leaves behind, as plain values: trials, judgements on held-out speech, and the whole outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.policy import Policy


@dataclass(frozen=True)
class TrialResult:
    """One candidate on the search split. `label` names fixed ones ("baseline", "paper 0.8/0.7"), else it is empty.

    `quality` is the task's metric in its own direction, as a fraction; `difference` by how much its loss exceeds the
    baseline's, above 0 is worse; `beside` the metric that is shown next to it, nan where there is none. `costs` are
    ratios to the baseline by name (prefill_flops, kv_cache, prefill_flops_audio, end_to_end_flops). `feasible` says
    that every budget and the loop guard hold, `on_front` that no other feasible trial is better in quality and cost.
    `drift` is how much less likely the baseline's own answers are under the policy, in nats a word (or question).

    A trial that was given up before its answers were known is not `decoded`: it has costs, but its quality, difference,
    `beside` and `broken` (the share of outputs that are empty or were cut off) are nan. `ties` counts the tokens that
    were chosen over another by no more than rounding.
    """

    number: int
    policy: Policy
    label: str
    quality: float
    difference: float
    costs: Mapping[str, float]
    feasible: bool
    on_front: bool
    seconds: float
    repeats: int | None = None  # the earlier trial with the same policy, whose evaluation was reused
    drift: float = 0.0
    decoded: bool = True
    beside: float = math.nan
    broken: float = math.nan
    ties: int = 0

    def led_to(self, policy: Policy) -> bool:
        """Whether `policy` is this trial's, or the same with short audio left alone."""
        return (self.policy.sites, self.policy.position) == (policy.sites, policy.position)


@dataclass(frozen=True)
class Judgement:
    """One policy on one held-out split, by plain `generate()`, paired with the baseline on the same utterances.

    `ci95` and `quality_ci95` are two-sided 95 % bootstrap intervals of the difference and of the quality itself.
    `quality`, `beside`, `baseline` and `difference` are as for trials. `broken` is the share of outputs that are empty
    or were cut off at the length limit; `loops` says that it exceeds the baseline's by more than the loop guard allows.
    Where several tasks are judged at once, `parts` are their own judgements, each with the name of its `task` and
    `metric`.
    """

    label: str
    policy: Policy
    split: str
    n: int
    quality: float
    quality_ci95: tuple[float, float]
    beside: float
    baseline: float
    difference: float
    ci95: tuple[float, float]
    costs: Mapping[str, float]
    broken: float
    within_budget: bool
    loops: bool
    parts: tuple[Judgement, ...] = ()
    task: str = ""
    metric: str = ""

    @property
    def feasible(self) -> bool:
        """Whether every budget and the loop guard hold."""
        return self.within_budget and not self.loops


@dataclass(frozen=True)
class Outcome:
    """A finished (or interrupted) search. `judgements` hold the selection split first, then the test split."""

    run: Path
    model: str
    task: str
    metric: str
    dataset: str
    budgets: Mapping[str, float]
    tolerance: float
    trials: tuple[TrialResult, ...]
    judgements: tuple[Judgement, ...]
    chosen: Policy | None
    policy_file: Path | None
    seconds: float
    interrupted: bool = False
    # What the chosen policy's merging did to the time to the first token, by audio tokens; empty where not measured.
    pays: Mapping[int, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  # sampler, seed, device, versions ...
