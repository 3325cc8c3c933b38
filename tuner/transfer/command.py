"""`tune transfer`: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tuner.options import PATH, console, list_of, model_options, start_logging, task_options


@click.command()
@model_options
@click.option("--policy", "policies", multiple=True, help="Policy file, or the name of a shipped policy. Repeatable.")
@task_options
@click.option(
    "--dataset", "datasets", multiple=True, help="As for a search; repeatable, such as real and synthetic speech."
)
@click.option("--dataset-config", help="Config of a Hub data set.")
@click.option("--split", help="Which split to try it on.  [default: test, of the reference data]")
@click.option("--limit", type=click.IntRange(1), help="At most so many utterances of each data set.")
@click.option("--max-bad", default=0, show_default=True, help="Unusable utterances to put up with.")
@click.option("--speeds", callback=list_of(float, "0.9,1.1"), help="Also spoken at these speeds, such as 0.9,1.1.")
@click.option("--noise", callback=list_of(float, "20,10"), help="Also with noise so many dB below, such as 20,10.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
@click.option("--run", help="Name of the run's folder; what it holds is not run again.  [default: model-time]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
def transfer(verbose: bool, **options: Any) -> None:
    """Tries policies on other tasks, speakers, speeds, noise and data sets than they were found on.

    \b
    tune transfer --policy reference-asr-0.70 --task asr,qa,translation
    tune transfer --policy mine.yaml --dataset real.jsonl --dataset synthetic.jsonl --speeds 0.9,1.1 --noise 20,10
    """
    start_logging(verbose)
    if not options["policies"]:
        raise click.UsageError("no policy: give --policy, for example tune transfer --policy reference-asr-0.70")
    from tuner.report.progress import ProgressWatcher
    from tuner.transfer import run, tables
    from tuner.transfer.settings import Settings

    settings = Settings(**options, command=shlex.join(["tune", *sys.argv[1:]]))
    with ProgressWatcher(console, cost="", metric=settings.tasks[0].metric) as watcher:
        try:
            found, folder = run.transfer(settings, watcher)
        except KeyboardInterrupt as error:
            raise click.ClickException("interrupted; go on with --run and the name of this run's folder") from error
    for table in tables.terminal(found):
        console.print(table)
    console.print(tables.NOTE, highlight=False, markup=False)
    console.print(f"\nresults  {folder / 'transfer.md'}", highlight=False, soft_wrap=True)
