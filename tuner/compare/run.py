"""A whole comparison: presets, every cell, contrasts with the verdict, and everything written down."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import optuna

from tuner.compare import cell as one_cell
from tuner.compare.arena import Arena
from tuner.compare.chosen import Chosen
from tuner.compare.contrast import contrasts, verdict
from tuner.compare.found import Compared, Entry
from tuner.compare.plan import Plan
from tuner.compare.tables import line
from tuner.compare.write import mirror, write
from tuner.report.facts import change_of
from tuner.search import journal
from tuner.search.outcome import TrialResult
from tuner.search.watch import Watcher

log = logging.getLogger(__name__)

LEDGER = "entries.jsonl"


class _Trials(Watcher):
    """Lets nothing through but trials: every cell has the same stages, and there are many cells."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def advance(self, steps: int = 1) -> None:
        self._watcher.advance(steps)

    def trial(self, result: TrialResult, best: TrialResult | None) -> None:
        self._watcher.trial(result, best)


def compare(plan: Plan, watcher: Watcher | None = None) -> tuple[Compared, Path]:
    """Compares methods. What an earlier, interrupted call of the same run finished is not done again.

    Ctrl-C ends it early, with what was finished until then if that is anything.

    Returns:
        What was found, and the run's folder.

    Raises:
        TunerError: anything the user can put right.
    """
    watcher = watcher or Watcher()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chosen = Chosen.by(plan)
    arena = Arena.of(plan if chosen is None else chosen.limit(plan), watcher)
    ledger = arena.context.folder.path / LEDGER
    known = [Entry.from_json(content) for content in journal.read(ledger)]
    try:
        _presets(arena, known, ledger, watcher)
        _cells(arena, chosen, known, ledger, watcher)
    except KeyboardInterrupt:
        if not known:
            raise
        log.warning("interrupted: what is finished is kept; the same command goes on with --run %s", ledger.parent.name)
    found = _found(arena, chosen, known)
    files = write(found, plan.search.command, ledger.parent)
    mirror(found, arena.plan, arena.context.folder, files)
    return found, ledger.parent


def _presets(arena: Arena, known: list[Entry], ledger: Path, watcher: Watcher) -> None:
    done = {one.method for one in known if one.budget is None}
    for label, policy in arena.context.presets.items():
        if label not in done:
            began = time.monotonic()
            judged, first_token = arena.measured(label, policy, budget=1.0), arena.first_token(policy)
            entry = Entry(label, None, 0, 0, time.monotonic() - began, judged, first_token)
            _keep(arena, entry, known, ledger, watcher)


def _cells(arena: Arena, chosen: Chosen | None, known: list[Entry], ledger: Path, watcher: Watcher) -> None:
    done = {one.cell for one in known}
    cells, trials = list(arena.plan.cells()), arena.plan.search.trials
    missing = [cell for cell in cells if cell not in done]
    if missing and chosen is None:
        _ = arena.searched, arena.selected, arena.baseline  # their stages first
    name, steps = ("trials", trials) if chosen is None else ("measuring", 1)
    watcher.stage(name, steps * len(cells))
    watcher.advance(steps * (len(cells) - len(missing)))
    for cell in missing:
        if chosen is None:
            entry = one_cell.run(arena, cell, _Trials(watcher), known)
            watcher.advance(trials - entry.trials)  # of an infeasible budget
        else:
            entry = one_cell.measure(arena, chosen.cells[cell])
            watcher.advance()
        _keep(arena, entry, known, ledger, watcher)


def _keep(arena: Arena, entry: Entry, known: list[Entry], ledger: Path, watcher: Watcher) -> None:
    journal.append(ledger, entry.to_json())
    known.append(entry)
    said = "" if entry.judged is None else change_of(arena.context.task.metric, entry.judged)
    watcher.say(line(entry, said))


def _found(arena: Arena, chosen: Chosen | None, known: list[Entry]) -> Compared:
    context, cells = arena.context, list(arena.plan.cells())
    judged = [one if one.judged is None else replace(one, drift=arena.drift(one.judged.policy)) for one in known]
    by_cell = {one.cell: one for one in judged if one.cell is not None}
    searched = [by_cell[cell] for cell in cells if cell in by_cell]
    champion = arena.plan.methods[0]
    against = tuple(contrasts(champion, searched, arena.recorded))
    return Compared(
        model=context.loaded.id,
        task=context.task.name,
        metric=context.task.metric.name,
        dataset=arena.decides.name,
        split=arena.decides.split,
        chosen_on=context.splits.selection.split if chosen is None else chosen.chosen_on,
        utterances=len(arena.decides),
        quality=arena.baseline.quality,
        trials=arena.plan.search.trials,
        champion=champion,
        entries=(*searched, *(one for one in judged if one.budget is None)),
        contrasts=against,
        verdict=verdict(champion, searched, against, context.task.metric),
        missing=tuple(cell.name for cell in cells if cell not in by_cell),
    )
