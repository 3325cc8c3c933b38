"""One cell of a comparison: a method's best setting under a budget, searched, chosen and measured."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

import optuna

from tuner.compare import spaces
from tuner.compare.arena import Arena
from tuner.compare.found import Entry
from tuner.compare.plan import COST, Cell
from tuner.policy import Policy
from tuner.search import selection, study
from tuner.search.judge import Matched
from tuner.search.outcome import Judgement, TrialResult
from tuner.search.proposal import Proposals
from tuner.search.ranges import STEP
from tuner.search.runfolder import RunFolder
from tuner.search.space import SearchSpace
from tuner.search.trials import Trials
from tuner.search.watch import Watcher
from tuner.tracking import Tracker

ALONE = "input alone"


def run(arena: Arena, cell: Cell, watcher: Watcher, known: Sequence[Entry] = ()) -> Entry:
    """Searches, chooses and measures. `watcher` hears of each trial; `known` are the cells that are done.

    Raises:
        KeyboardInterrupt: Ctrl-C; the trials that are finished are not run again when the cell is.
    """
    began = time.monotonic()
    folder = RunFolder(arena.context.folder.path / "cells" / cell.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    trials, why_not = _search(arena, cell, folder, watcher, begin_with(cell, known))
    feasible = [one for one in trials if one.feasible]
    entry = Entry(cell.method, cell.budget, len(trials), len(feasible), 0.0, reason=why_not)
    if not why_not:
        finalists = _finalists(feasible, arena.plan.search.finalists)
        best = choose(arena.finalists([one.policy for one in finalists], cell.budget))
        judged = arena.measured(cell.name, best.policy, cell.budget)
        entry = replace(entry, judged=judged, first_token=arena.first_token(best.policy))
    shutil.rmtree(folder.path)
    return replace(entry, seconds=time.monotonic() - began)


def measure(arena: Arena, chosen: Entry) -> Entry:
    """What was chosen elsewhere, measured here."""
    if chosen.judged is None or chosen.cell is None:
        return chosen
    began = time.monotonic()
    judged = arena.measured(chosen.cell.name, chosen.judged.policy, chosen.cell.budget)
    found = replace(chosen, judged=judged, first_token=arena.first_token(judged.policy))
    return replace(found, seconds=time.monotonic() - began)


def begin_with(cell: Cell, known: Sequence[Entry]) -> Policy | None:
    """The method's choice under the next higher budget that is done: a good place to begin under this one."""
    above = {one.budget: one.judged.policy for one in known if one.method == cell.method and one.budget and one.judged}
    return min(((budget, policy) for budget, policy in above.items() if budget > cell.budget), default=(0, None))[1]


def choose(judged: Sequence[tuple[Judgement, float]]) -> Judgement:
    """Of judgements with their drifts the one that drifts least: of few utterances it tells good policies apart where
    errors do not. Where none keeps the budget without looping, the best of those that loop, else the cheapest: a method
    shall be seen for what it is, and tables mark what its choice does not keep."""
    sound = [one for one in judged if one[0].feasible] or [one for one in judged if one[0].within_budget]
    if sound:
        return min(sound, key=lambda one: one[1])[0]
    return min((one for one, _ in judged), key=lambda one: one.costs[COST])


def _search(
    arena: Arena, cell: Cell, folder: RunFolder, watcher: Watcher, begin: Policy | None
) -> tuple[list[TrialResult], str]:
    """The trials, the first of them that of `begin` with its last site solved anew; and why there is no policy, where
    there is none."""
    settings = arena.plan.search_within(cell.budget)
    judge = Matched(arena.searched.baseline, arena.context.costing(arena.context.evaluator), settings.budgets)

    def proposals_in(space: SearchSpace) -> Proposals:
        context = arena.context.beside(settings, space, folder)
        context.watcher = watcher
        return Proposals(context, arena.searched, judge)

    def cost(policy: Policy) -> float:
        return judge.costs(arena.searched.look(policy).evaluation)[1][COST]

    alone = _on_the_grid(proposals_in(spaces.at_input(cell.method)).draw(optuna.create_study().ask()).policy)
    affordable = cost(alone) <= cell.budget
    proposals = proposals_in(spaces.spread(cell.method, _strength(alone) if affordable else None))
    context = proposals.context
    if affordable:
        context.known = {ALONE: alone}
    else:
        smallest = cost(context.policy(context.space.strongest(context.layers)))
        if smallest > cell.budget:
            return [], f"the smallest ratio that it can reach is {smallest:.3f}"
    opened = study.open_study(
        folder.study, context.identity(), context.objective, settings.seed, settings.sampler, settings.trials
    )
    params = None if begin is None else proposals.known_params(begin)
    if params is not None:
        opened.enqueue_trial(params, skip_if_exists=True)
    trials = Trials(context, proposals, opened, Tracker())
    results = trials.run(None)
    if trials.interrupted:
        raise KeyboardInterrupt
    kept = any(one.feasible for one in results)
    return results, "" if kept else f"none of {len(results)} settings kept the budget without looping"


def _finalists(feasible: Sequence[TrialResult], count: int) -> list[TrialResult]:
    """Those of a search. Where every setting is too far from the baseline's answers for a search to go on with it, the
    nearest: a method that is of no use shall be seen to be."""
    nearest = sorted(
        (one for one in feasible if one.repeats is None and math.isfinite(one.drift)), key=lambda one: one.drift
    )
    return selection.finalists(feasible, COST, count) or nearest[:count]


def _strength(alone: Policy) -> float | None:
    """The threshold or ratio at the input; None where nothing is merged there."""
    return next((float(site.settings[spaces.strength_of(site.method)]) for site in alone.sites), None)


def _on_the_grid(alone: Policy) -> Policy:
    """At the next lower threshold or ratio that a sampler can draw."""
    sites = tuple(
        site.model_copy(update={name: round(math.floor(float(site.settings[name]) / STEP + 1e-6) * STEP, 4)})
        for site in alone.sites
        for name in (spaces.strength_of(site.method),)
    )
    return alone.model_copy(update={"sites": sites})
