"""`tune bench`: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from tuner.options import PATH, console, model_options, start_logging


def _lengths(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        lengths = tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected seconds such as 10,30,60") from error
    if min(lengths) <= 0:
        raise click.BadParameter(f"{value!r}: seconds must be above 0")
    return lengths


@click.command()
@model_options
@click.option("--policy", "policies", multiple=True, help="Policy file, or the name of a shipped policy. Repeatable.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    help="Sites by what they keep: 0=0.8,29=0.5:3 (LAYER=RETENTION[:WINDOW]), or by what they leave of the prefill "
    "FLOPs: 0,10@0.7; with +proportional behind it merged tokens count in attention by their size. Repeatable.",
)
@click.option("--random-weights", is_flag=True, help="Build the model of --config without its weights.")
@click.option("--config", help="A name such as qwen2-audio-7b, or a config.json.")
@click.option("--seconds", default="10,30,60", show_default=True, callback=_lengths, help="Lengths of audio.")
@click.option("--audio", type=PATH, help="Recording to repeat or cut.  [default: the shipped ones, strung together]")
@click.option("--new-tokens", type=click.IntRange(1), default=32, show_default=True, help="Length of every answer.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Turns that count.")
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True)
@click.option("--out", type=PATH, help="Folder for the results.  [default: runs/bench/NAME-DATE]")
def bench(
    model: str | None,
    device: str | None,
    dtype: str,
    attn_implementation: str | None,
    trust_remote_code: bool,
    verbose: bool,
    policies: tuple[str, ...],
    shapes: tuple[str, ...],
    random_weights: bool,
    config: str | None,
    seconds: tuple[float, ...],
    audio: Path | None,
    out: Path | None,
    **plan: int,
) -> None:
    """Measures time, memory and FLOPs with and without policies, taking turns.

    \b
    tune bench --model reference --policy reference-asr-0.70 --seconds 2,5,9
    tune bench --random-weights --config qwen2-audio-7b --shape 0,10@0.7
    """
    start_logging(verbose)
    from tuner import Policy, loading
    from tuner.bench import inputs, tables
    from tuner.bench.build import build
    from tuner.bench.results import Bench, Length
    from tuner.bench.run import Plan, run
    from tuner.bench.shapes import Shape
    from tuner.bench.write import environment, write
    from tuner.report.calls import CallProgress

    known = [Policy.load(policy) for policy in policies]
    sides: list[Policy | Shape] = [*known, *(Shape.parse(shape) for shape in shapes)]
    _check(random_weights, config, model, bool(known), bool(sides))
    planned = Plan(seconds, **plan)
    if config is not None:
        loaded = build(config, device, dtype, attn_implementation)
        make = inputs.noise(loaded)
    else:
        name = model or known[0].model.id
        loaded = loading.load(name, device, dtype, attn_implementation, trust_remote_code)
        make = inputs.speech(loaded, audio)

    lengths: list[Length] = []
    interrupted = False
    with CallProgress(console, len(seconds) * planned.passes(1 + len(sides))) as progress:
        try:
            for length in run(loaded, make, sides, planned, lambda s, calls: progress.advance(f"{s:g} s", calls)):
                lengths.append(length)
        except KeyboardInterrupt:
            interrupted = True
    settings: dict[str, Any] = {
        "command": shlex.join(["tune", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "policies": policies,
        "shapes": shapes,
        "seconds": seconds,
        **plan,
    }
    found = Bench(loaded.short_name, settings, environment(loaded), tuple(lengths), interrupted)
    if not interrupted and not any(length.rows for length in lengths):
        raise click.ClickException("nothing was measured. " + "; ".join(tables.remarks(found)))
    for table in tables.cells(found):
        console.print(tables.terminal(table))
    for remark in tables.remarks(found):
        console.print(remark, highlight=False, soft_wrap=True)
    folder = out or Path("runs") / "bench" / f"{loaded.short_name}-{time.strftime('%Y%m%d-%H%M%S')}"
    write(found, folder)
    console.print(f"\nresults  {folder}", highlight=False, soft_wrap=True)


def _check(random_weights: bool, config: str | None, model: str | None, policies: bool, sides: bool) -> None:
    if random_weights != (config is not None) or (random_weights and model is not None):
        raise click.UsageError("--random-weights and --config go together, and without --model")
    if random_weights and policies:
        raise click.UsageError("a policy's thresholds mean nothing to random weights; say what is kept with --shape")
    if not sides:
        raise click.UsageError("nothing to compare the bare model with: give --policy or --shape")
    if config is None and model is None and not policies:
        raise click.UsageError("no model: give --model, or --random-weights and --config")
