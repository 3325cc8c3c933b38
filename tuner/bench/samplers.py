"""How soon each sampler finds good policies, on real trials: `python -m tuner.bench.samplers`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from tuner.bench.contest import Ground, Memory
from tuner.bench.course import Course
from tuner.bench.study import Page
from tuner.errors import TunerError
from tuner.options import PATH, budget_option, console, model_options, start_logging
from tuner.policy import Policy
from tuner.report.calls import CallProgress
from tuner.report.style import save
from tuner.search.drift import HOPELESS
from tuner.search.settings import Settings

DEFAULT, RANDOM = "gp", "random"  # what a short search takes, and what it has to beat
SAMPLERS = (DEFAULT, "tpe", "nsga2", RANDOM)
KINDS = {True: "solved", False: "free"}  # the last threshold
MARKS = 3  # so often each course is looked at
HEAD = ("sampler", "trials", "drift", "held out", "hypervolume, %", "feasible")
NOTE = (
    "Medians over seeds with the least and the greatest. Drift: nats per 1000 words by which the best feasible policy "
    "so far makes the bare model's answers less likely, on the speech that the sampler saw; held out: that policy's "
    "drift on speech that no sampler saw. Hypervolume: share of all drifts up to "
    f"{1000 * HOPELESS:g} and costs up to the bare model's that feasible policies dominate. Solved: the last threshold "
    "is the one that spends the budget; free: the sampler chooses it. No policy was known at the start."
)
# Okabe and Ito's colours, which colour-blind readers can tell apart; lines differ too.
_LOOKS = dict(zip(SAMPLERS, (("#D55E00", "-"), ("#0072B2", "--"), ("#009E73", "-."), ("#6B6B6B", ":")), strict=True))

Courses = Sequence[Course]
Drift = Callable[[Policy], float]


@dataclass(frozen=True)
class Plan:
    """How many trials each study has, those of random search of their own, and how many seeds each is run with."""

    trials: int
    random_trials: int
    seeds: int

    @property
    def all_trials(self) -> int:
        """Those of all studies."""
        return self.seeds * (len(KINDS) * (self.trials * (len(SAMPLERS) - 1) + self.random_trials) + self.trials)


def contest(grounds: Sequence[Ground], plan: Plan, advance: Callable[[str, int], None]) -> Courses:
    """Every sampler on every ground with every seed, the default also raced where thresholds are solved.

    `advance` is told of each study's name and number of trials when it is done.
    """
    courses = []
    for seed in range(plan.seeds):
        for ground in grounds:
            runs = [(sampler, False) for sampler in SAMPLERS]
            for sampler, raced in [*runs, (DEFAULT, True)] if ground.context.settings.solve else runs:
                count = plan.random_trials if sampler == RANDOM else plan.trials
                courses.append(ground.run(sampler, count, seed, raced))
                advance(f"{sampler}, seed {seed}", count)
    return courses


def page(courses: Courses, held_out: Drift) -> Page:
    """A row for each sampler and number of trials that is looked at; below, what it comes to."""
    least, rows = min(len(course.trials) for course in courses), []
    for solve in KINDS:
        for sampler in SAMPLERS:
            same = _of(courses, solve, sampler)
            count = len(same[0].trials)
            rows += [_row(same, mark, held_out) for mark in sorted({*_marks(least), count})]
    notes = [*_goals(courses), _race(courses, held_out), _asking(courses), NOTE]
    return Page("Samplers on real trials", HEAD, rows, notes)


def draw(courses: Courses) -> Figure:
    """Best drift against trials, a panel for each kind of threshold: medians over seeds, in bands of all of them."""
    figure = Figure(figsize=(10.0, 4.6), dpi=160, layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(KINDS), sharey=True)
    for axes, (solve, kind) in zip(panels, KINDS.items(), strict=True):
        for sampler, (colour, line) in _LOOKS.items():
            best = 1000 * np.array([course.best for course in _of(courses, solve, sampler)])
            shown = np.where(np.isfinite(best).all(0), best, np.nan)
            trials = np.arange(1, best.shape[1] + 1)
            axes.fill_between(trials, shown.min(0), shown.max(0), step="post", color=colour, alpha=0.15, lw=0)
            axes.step(trials, np.median(shown, 0), where="post", color=colour, ls=line, lw=1.6, label=sampler)
        axes.set_title(f"last threshold {kind}", fontsize=10, loc="left")
        axes.set_xlabel("trials")
        axes.grid(color="#000000", alpha=0.08, lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(top=1000 * HOPELESS)
        for axis, steps in ((axes.xaxis, (1, 2, 5)), (axes.yaxis, (1, 1.5, 2, 3, 5, 7))):
            axis.set_major_locator(LogLocator(subs=steps))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("drift of the best so far, nats per 1000 words")
    panels[-1].legend(frameon=False, fontsize=9)
    return figure


def _of(courses: Courses, solve: bool, sampler: str, raced: bool = False) -> Courses:
    return [one for one in courses if (one.solve, one.sampler, one.raced) == (solve, sampler, raced)]


def _marks(trials: int) -> list[int]:
    return [round(trials * part / MARKS) for part in range(1, MARKS + 1)]


def _row(same: Courses, count: int, held_out: Drift) -> list[str]:
    first = [one for course in same for one in course.trials[:count]]
    return [
        f"{same[0].sampler} {KINDS[same[0].solve]}",
        str(count),
        _drifts([course.best[count - 1] for course in same]),
        _drifts(_worth(same, count, held_out)),
        _spread([100 * course.hypervolume(count) for course in same]),
        f"{np.mean([one.feasible for one in first]):.0%}",
    ]


def _worth(same: Courses, count: int, held_out: Drift) -> list[float]:
    """What the best policies of so many trials are worth on other speech; infinite where none is feasible."""
    winners = [course.winner(count) for course in same]
    return [math.inf if winner is None else held_out(winner.policy) for winner in winners]


def _drifts(values: Sequence[float]) -> str:
    return _spread([1000 * value for value in values])


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _goals(courses: Courses) -> Iterator[str]:
    """After how many trials every sampler is where random search ends."""
    for solve, kind in KINDS.items():
        random = _of(courses, solve, RANDOM)
        goal = median(course.best[-1] for course in random)
        taken = [
            f"{sampler} {name} {', '.join(_needed(course.best, goal) for course in _of(courses, other, sampler))}"
            for other, name in KINDS.items()
            for sampler in SAMPLERS
        ]
        yield (
            f"Random search, {kind}, comes to a drift of {1000 * goal:.1f} in {len(random[0].trials)} trials. Trials "
            f"that it takes to get there, seed by seed: {'; '.join(taken)}."
        )


def _needed(best: Sequence[float], goal: float) -> str:
    return next((str(count) for count, value in enumerate(best, 1) if value <= goal), f">{len(best)}")


def _race(courses: Courses, held_out: Drift) -> str:
    """What giving candidates up saves, and what it costs."""
    told = []
    for raced, name in ((True, "racing"), (False, "without")):
        same = _of(courses, True, DEFAULT, raced)
        count = len(same[0].trials)
        told.append(
            f"{name} {median(course.passes for course in same):.0f} passes over an utterance and "
            f"{median(course.judging for course in same):.0f} s of judging, drift "
            f"{_drifts([course.best[-1] for course in same])}, held out {_drifts(_worth(same, count, held_out))}"
        )
    return f"{DEFAULT}, solved, {'; '.join(told)}."


def _asking(courses: Courses) -> str:
    """What samplers take for themselves."""
    taken = [
        f"{sampler} {median(one.asking / len(one.trials) for one in courses if one.sampler == sampler):.2f}"
        for sampler in SAMPLERS
    ]
    return f"Seconds a trial that samplers take for themselves: {', '.join(taken)}."


@click.command()
@model_options
@budget_option(default=("0.7",), show_default=True)
@click.option("--space", default="triple", show_default=True, help="As for `tune`.")
@click.option("--dataset", help="As for `tune`.")
@click.option("--limit", type=click.IntRange(1), help="Judge trials on the first utterances of the search split.")
@click.option("--held-out", type=click.IntRange(1), help="Use only the first utterances of the selection split.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
@click.option("--trials", type=click.IntRange(MARKS), default=60, show_default=True)
@click.option("--random-trials", type=click.IntRange(MARKS), default=300, show_default=True, help="Of random search.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=PATH, help="Folder for the results.  [default: runs/bench/samplers-NAME-DATE]")
def main(
    model: str | None,
    verbose: bool,
    held_out: int | None,
    trials: int,
    random_trials: int,
    seeds: int,
    out: Path | None,
    **search: Any,
) -> None:
    """Runs every sampler on real trials, with thresholds solved for the budget and without.

    What was judged is kept in judged.jsonl beside the results: the same command with the same folder goes on from it.
    """
    start_logging(verbose)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = Plan(trials, random_trials, seeds)
    try:
        with TemporaryDirectory() as runs:
            settings = [
                Settings(model or "reference", runs=Path(runs), run=kind, solve=solve, **search)
                for solve, kind in KINDS.items()
            ]
            name = settings[0].policy_name
            folder = out or Path("runs") / "bench" / f"samplers-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
            folder.mkdir(parents=True, exist_ok=True)
            memory = Memory(folder / "judged.jsonl")
            grounds = [Ground(one, memory) for one in settings]
            with CallProgress(console, plan.all_trials) as progress:
                courses = contest(grounds, plan, progress.advance)
            found = page(courses, grounds[0].held_out(held_out))
    except TunerError as error:
        raise click.ClickException(str(error)) from error
    asked = {**asdict(plan), "held_out": held_out, **search}
    found.show("samplers", grounds[0].context.loaded, asked, [course.to_json() for course in courses], folder)
    save(draw(courses), folder / "samplers.png")


if __name__ == "__main__":
    main()
