"""`tune compare`: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tuner.options import PATH, console, list_of, model_options, speech_options, start_logging, task_options


@click.command()
@model_options
@task_options
@click.option("--metric", help="Another metric than the task's own, as for a search.")
@speech_options
@click.option(
    "--methods",
    callback=list_of(str, "affinity,uniform"),
    help="Those to compare, the others with the first. Behind a name, +proportional lets merged tokens count in "
    "attention by their size.  [default: all that there are, those that merge with it and without]",
)
@click.option(
    "--budgets",
    default="0.9,0.8,0.7,0.6,0.5",
    show_default=True,
    callback=list_of(float, "0.7,0.5"),
    help="Of prefill FLOPs, as ratios to the unmodified model.",
)
@click.option("--trials", default=20, show_default=True, help="Settings of each method tried for each budget.")
@click.option("--finalists", default=3, show_default=True, help="Of them so many are re-judged on the selection split.")
@click.option(
    "--chosen-by", help="Another comparison's run: what it chose is measured on this speech, and nothing is searched."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
@click.option("--memory", default=4.0, show_default=True, help="GB to keep encoded audio in; the rest goes to files.")
@click.option("--run", help="Name of the run's folder; an interrupted one goes on there.  [default: model-task-time]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
def compare(
    verbose: bool, methods: tuple[str, ...], budgets: tuple[float, ...], chosen_by: str | None, **options: Any
) -> None:
    """Compares methods at matched prefill FLOPs, each at its best setting, and with the paper's presets.

    \b
    tune compare --model reference
    tune compare --model reference --methods affinity,uniform,stride --budgets 0.7,0.5 --run rivals
    tune compare --model reference --chosen-by rivals --dataset people.jsonl --split dev
    """
    start_logging(verbose)
    if options["model"] is None:
        raise click.UsageError("no model: give --model, for example tune compare --model reference")
    from tuner.compare import run, tables
    from tuner.compare.plan import COST, Plan
    from tuner.report.progress import ProgressWatcher
    from tuner.search.settings import Settings

    command = shlex.join(["tune", *sys.argv[1:]])
    search = Settings(budgets={COST: max(budgets, default=1.0)}, command=command, **options)
    plan = Plan(search, methods or Plan.methods, budgets, chosen_by)
    with ProgressWatcher(console, COST, search.judged.metric) as watcher:
        found, folder = run.compare(plan, watcher)
    console.print(tables.terminal(found))
    for sentence in (tables.baseline(found), *found.verdict):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"\nresults  {folder / 'compare.md'}", highlight=False, soft_wrap=True)
    if found.missing:
        raise click.ClickException(
            f"interrupted; {len(found.missing)} cells are missing: give --run {folder.name} again"
        )
