"""`tune probe`: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tuner.options import PATH, console, list_of, model_options, start_logging, task_options


@click.command()
@model_options
@task_options
@click.option("--dataset", help="reference, a .jsonl/.csv manifest, a folder of audio, or a Hub id.")
@click.option("--dataset-config", help="Config of a Hub data set.")
@click.option("--split", help="Which split to probe on.  [default: search, of the reference data]")
@click.option("--limit", type=click.IntRange(1), help="At most so many utterances.")
@click.option("--max-bad", default=0, show_default=True, help="Unusable utterances to put up with.")
@click.option(
    "--methods",
    default="random-drop,uniform-drop,uniform-merge",
    show_default=True,
    callback=list_of(str, "random-drop,uniform-merge"),
    help="How tokens are spared within each word.",
)
@click.option(
    "--retentions",
    default="0.25,0.5,0.75",
    show_default=True,
    callback=list_of(float, "0.25,0.5"),
    help="Shares of each word's tokens that stay.",
)
@click.option(
    "--step", type=click.IntRange(1), help="Probe every so many layers.  [default: 1 up to 16 layers, else 5]"
)
@click.option("--layers", callback=list_of(int, "0,5,10"), help="Probe these layers, such as 0,5,10.")
@click.option("--tolerance", default=1.0, show_default=True, help="Points of the metric that count as no worse.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
@click.option("--memory", default=4.0, show_default=True, help="GB to keep encoded audio in; the rest goes to files.")
@click.option("--run", help="Name of the run's folder; an interrupted probe goes on there.  [default: model-task-time]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
def probe(verbose: bool, tolerance: float, **options: Any) -> None:
    """Maps where a model's audio tokens are redundant, layer by layer.

    \b
    tune probe --model reference
    tune probe --model Qwen/Qwen2-Audio-7B-Instruct --dataset my.jsonl --run map
    tune --model reference --budget 0.7 --from-probe map
    """
    start_logging(verbose)
    if options["model"] is None:
        raise click.UsageError("no model: give --model, for example tune probe --model reference")
    from tuner.probe import run, tables
    from tuner.probe.settings import Settings
    from tuner.report.progress import ProgressWatcher

    command = shlex.join(["tune", *sys.argv[1:]])
    settings = Settings(**options, tolerance=tolerance / 100, command=command)
    with ProgressWatcher(console, cost="", metric=settings.judged.metric) as watcher:
        try:
            found, folder = run.probe(settings, watcher)
        except KeyboardInterrupt as error:
            raise click.ClickException("interrupted; go on with --run and the name of this run's folder") from error
    console.print(tables.terminal(found))
    for sentence in (tables.baseline(found), *found.verdict):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"\nresults  {folder / 'probe.md'}", highlight=False, soft_wrap=True)
