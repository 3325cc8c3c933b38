"""Measures the bare model and every policy on every length of audio, taking turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from tuner.bench.calibrate import calibrate
from tuner.bench.clock import Phases, phases
from tuner.bench.counting import Counts, costing_of, count
from tuner.bench.inputs import Maker
from tuner.bench.overhead import merge_seconds
from tuner.bench.prefill import Inputs
from tuner.bench.results import BASELINE, Length, Row
from tuner.bench.shapes import Shape
from tuner.costs.measure import alternate
from tuner.costs.memory import Peak, out_of_memory, peak_of
from tuner.errors import DataError
from tuner.evaluate.costing import Costing
from tuner.loading import LoadedModel
from tuner.policy import Policy

WARM_UP = 1


@dataclass(frozen=True)
class Plan:
    """What is measured: lengths of audio, new tokens in every answer, turns, prompts in a batch."""

    seconds: tuple[float, ...]
    new_tokens: int = 32
    repeats: int = 5
    batch_size: int = 1

    def passes(self, sides: int) -> int:
        """Timed and warming calls at one length, for so many sides with the bare model among them."""
        return sides * (WARM_UP + self.repeats)


def run(
    loaded: LoadedModel,
    make: Maker,
    sides: Sequence[Policy | Shape],
    plan: Plan,
    advance: Callable[[float, int], None] = lambda seconds, passes: None,
) -> Iterator[Length]:
    """One length after the other, as they are finished.

    Args:
        loaded: the model.
        make: its inputs for a length.
        sides: what is compared with the bare model; a shape becomes a policy anew for every length.
        plan: how long and how often.
        advance: is told the length that is measured, and how many more of its `Plan.passes` are done.

    Raises:
        ModelError, PolicyError: a policy or a shape does not fit the model.
    """
    for side in sides:
        if isinstance(side, Policy):
            side.check(loaded.model)
    costing = costing_of(loaded)
    for seconds in plan.seconds:
        advance(seconds, 0)
        try:
            inputs = make(seconds, plan.batch_size)
        except DataError as error:
            yield Length(seconds, left_out=str(error))
            advance(seconds, plan.passes(1 + len(sides)))
            continue
        yield Length(seconds, _measure(loaded, costing, inputs, sides, plan, partial(advance, seconds, 1)))


def _measure(
    loaded: LoadedModel,
    costing: Costing | None,
    inputs: Inputs,
    sides: Sequence[Policy | Shape],
    plan: Plan,
    done: Callable[[], None],
) -> tuple[Row, ...]:
    """The bare model's row and one for every side. Where memory runs out, the rows say so."""
    rows: list[Row] = []
    turns: dict[int, Callable[[], Phases]] = {}  # by row
    for side in (None, *sides):
        try:
            row, policy = _count(loaded, costing, inputs, side, plan)
            turns[len(rows)] = partial(_turn, loaded, policy, inputs, plan, done)
        except RuntimeError as error:
            row = Row(_name(side), problem=_no_memory(error))
        rows.append(row)
    try:
        found = alternate(list(turns.values()), plan.repeats, WARM_UP)
    except RuntimeError as error:
        problem = _no_memory(error)
        return tuple(Row(row.side, problem=problem) for row in rows)
    for index, passes in zip(turns, found, strict=True):
        rows[index] = replace(rows[index], passes=tuple(passes))
    return tuple(rows)


def _count(
    loaded: LoadedModel, costing: Costing | None, inputs: Inputs, side: Policy | Shape | None, plan: Plan
) -> tuple[Row, Policy | None]:
    """All that needs no turns: thresholds, FLOPs, memory and merging; and the policy as it will run."""
    if side is None:
        row = Row(BASELINE, counts=count(loaded, Policy.for_model(loaded.model), inputs, costing))
        return replace(row, peak=_peak(loaded, None, inputs, plan)), None
    policy = calibrate(loaded, side, inputs, costing) if isinstance(side, Shape) else side
    counts = count(loaded, policy, inputs, costing)
    row = Row(
        _name(side),
        sites=policy.sites,
        retention=_retention(policy, int((inputs["input_ids"] == loaded.speech.audio_token_id).sum()), counts),
        counts=counts,
        peak=_peak(loaded, policy, inputs, plan),
        merge_seconds=merge_seconds(loaded, policy, inputs, plan.repeats),
    )
    return row, policy


def _peak(loaded: LoadedModel, policy: Policy | None, inputs: Inputs, plan: Plan) -> Peak | None:
    return peak_of(lambda: phases(loaded, policy, inputs, plan.new_tokens), loaded.device)


def _turn(loaded: LoadedModel, policy: Policy | None, inputs: Inputs, plan: Plan, done: Callable[[], None]) -> Phases:
    found = phases(loaded, policy, inputs, plan.new_tokens)
    done()
    return found


def _name(side: Policy | Shape | None) -> str:
    return BASELINE if side is None else side.text if isinstance(side, Shape) else side.name


def _retention(policy: Policy, entering: int, counts: Counts) -> tuple[float, ...]:
    """By site, audio tokens kept of those that entered; all prompts of the batch together."""
    by_layer = [sum(lengths) for lengths in zip(*counts.audio_tokens, strict=True)]
    left = [entering, *(by_layer[site.layer] for site in policy.sites)]
    return tuple(kept / entered for entered, kept in itertools.pairwise(left))


def _no_memory(error: RuntimeError) -> str:
    """What a row says instead of numbers; any other error is raised again."""
    if not out_of_memory(error):
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return "out of memory"
