"""`tune doctor`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from tuner.options import PATH, console, model_options, start_logging

if TYPE_CHECKING:
    from tuner.doctor.run import Examined


@click.command()
@model_options
@click.option("--task", default="asr", show_default=True, help="Whose prompt the model is given.")
@click.argument("audio", nargs=-1, type=PATH)
def doctor(
    model: str | None,
    device: str | None,
    dtype: str,
    attn_implementation: str | None,
    trust_remote_code: bool,
    verbose: bool,
    task: str,
    audio: tuple[Path, ...],
) -> None:
    """Checks that merging works in a model, on AUDIO files or on shipped recordings: against a slow reference that does
    everything one token at a time, and in every way that the model can be asked to generate.

    It runs in float32 unless --dtype says otherwise: below it, rounding decides which tokens are alike, and only
    policies that merge everything can be compared.

    \b
    tune doctor --model reference
    tune doctor --model Qwen/Qwen2-Audio-7B-Instruct a.wav b.wav c.wav
    """
    start_logging(verbose)
    from tuner import loading
    from tuner.data.recordings import recordings
    from tuner.doctor.case import Speech
    from tuner.doctor.checks import CHECKS
    from tuner.doctor.run import SHIPPED, examine, shapes_for

    if model is None:
        raise click.UsageError("which model? For example: tune doctor --model reference")
    dtype = "float32" if dtype == "auto" else dtype
    loaded = loading.load(model, device, dtype, attn_implementation, trust_remote_code)
    shapes = shapes_for(loaded.model.dtype)
    found: dict[tuple[str, str], Examined] = {}
    with console.status("preparing speech") as status:
        speech = Speech.of(loaded, list(recordings(audio or SHIPPED)), task)
        for one in examine(speech, shapes):
            found[one.check, one.shape.name] = one
            status.update(f"{one.shape.name}: {one.check} done, {len(found)} of {len(CHECKS) * len(shapes)}")
    table = Table(title=f"{model}: {loaded.speech.architecture}, {loaded.model.dtype}", title_justify="left")
    table.add_column("check")
    for shape in shapes:
        table.add_column(shape.name)
    for check in CHECKS:
        table.add_row(check, *(_cell(found[check, shape.name]) for shape in shapes))
    console.print(table)
    broken = [one for one in found.values() if not one.holds]
    remarks = {f"{one.check}: {one.finding.remark}" for one in found.values() if one.finding.remark}
    for line in sorted(remarks):
        console.print(line, highlight=False, soft_wrap=True)
    if not speech.hears_alike:
        apart = f"its encoder makes of an utterance in a batch what is up to {speech.encoder:.1e} from what it makes of"
        console.print(f"{apart} it alone; that is the model's own", highlight=False, soft_wrap=True)
    for one in broken:
        console.print(f"[red]{one.check}, {one.shape.name}:[/] {one.reason}", highlight=False, soft_wrap=True)
    if broken:
        raise click.ClickException(f"{len(broken)} of {len(found)} checks do not hold: do not merge in this model")
    console.print(f"all {len(found)} checks hold")


def _cell(one: Examined) -> str:
    if not one.holds:
        return "[red]wrong[/]"
    return "holds" if one.finding.worst is None else f"holds, {one.finding.worst:.0e}"
