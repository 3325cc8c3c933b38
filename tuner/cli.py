"""The `tune` command: parses, calls, prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.table import Table

from tuner import __version__
from tuner.bench.command import bench
from tuner.compare.command import compare
from tuner.doctor.command import doctor
from tuner.errors import TunerError
from tuner.options import PATH, budget_option, console, model_options, speech_options, start_logging, task_options
from tuner.probe.command import probe
from tuner.search.command import print_outcome, select
from tuner.transfer.command import transfer


class _Commands(click.Group):
    """Prints the project's own errors as one line instead of a traceback."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = "a search has no command of its own: tune --model reference --budget 0.7"
            raise click.UsageError(f"{error.message.rstrip('.')}; {hint}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TunerError as error:
            if ctx.params.get("verbose"):
                raise
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if ctx.params.get("verbose"):
                raise
            where = f" {error.filename}" if error.filename else ""
            raise click.ClickException(f"{error.strerror or error}:{where}; what was finished is kept") from error


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, prog_name="speech-token-tuner")
@model_options
@budget_option()
@task_options
@click.option(
    "--metric",
    help="agreement: judge by the unmodified model's own answers, for audio without references; chrf: translation by "
    "chrF instead of BLEU.  [default: the task's]",
)
@speech_options
@click.option(
    "--space", default="triple", show_default=True, help="triple, dual, ladder, input, methods, or a YAML file."
)
@click.option("--from-probe", help="Narrow the space by the redundancy map of a probe: its run's name or folder.")
@click.option("--trials", default=50, show_default=True)
@click.option("--timeout", type=float, help="Seconds after which no new trial starts.")
@click.option("--sampler", default="auto", show_default=True, help="auto, gp, tpe, nsga2 or random.")
@click.option(
    "--solve/--no-solve",
    default=True,
    show_default=True,
    help="Solve the last site's threshold so that the budget is spent, or let the sampler choose it too.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--from",
    "start_from",
    multiple=True,
    help="Policies to judge first: a policy file, the name of a shipped policy, or a run. Repeatable.",
)
@click.option("--tolerance", default=1.0, show_default=True, help="Points of the metric that count as no worse.")
@click.option("--finalists", default=8, show_default=True, help="Policies re-judged on the selection split.")
@click.option(
    "--min-audio-tokens",
    type=click.IntRange(0),
    help="Leave shorter audio alone.  [default: what the chosen policy would slow down, as far as the budget allows]",
)
@click.option("--batch-size", default=16, show_default=True)
@click.option("--memory", default=4.0, show_default=True, help="GB to keep encoded audio in; the rest goes to files.")
@click.option("--run", help="Name of the run's folder.  [default: model-task-budget-time]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
@click.option("--policies", type=PATH, default=Path("policies"), show_default=True, help="Where the policy goes.")
@click.option("--resume", help="Name of a run to continue, or its folder; what is not given is taken from it.")
@click.pass_context
def main(ctx: click.Context, /, verbose: bool, resume: str | None, tolerance: float, **options: Any) -> None:
    """Finds where and how strongly a speech LLM's audio tokens can be merged under a hard budget.

    \b
    tune --model reference --budget 0.7
    tune --model Qwen/Qwen2-Audio-7B-Instruct --budget 0.7 --dataset my.jsonl
    """
    start_logging(verbose)
    if ctx.invoked_subcommand is not None:
        return
    from tuner.report.progress import ProgressWatcher
    from tuner.search.run import search
    from tuner.search.runfolder import RunFolder
    from tuner.search.settings import Settings

    options |= {"tolerance": tolerance / 100, "command": shlex.join(["tune", *sys.argv[1:]])}
    folder = None if resume is None else RunFolder.find_run(resume, options["runs"])
    if folder is not None:
        given = {name for name in options if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE}
        anew = {name: options[name] for name in given | {"command"}}
        settings = Settings.resumed(folder.config(), anew)
    elif options["model"] and options["budgets"]:
        settings = Settings(**options)
    else:
        raise click.UsageError("a search needs --model and --budget, for example: tune --model reference --budget 0.7")
    bounds = ", ".join(f"{name} <= {value:g} of the baseline" for name, value in settings.budgets.items())
    console.print(f"Searching {settings.model} for {settings.task}: {bounds}, {settings.trials} trials")
    with ProgressWatcher(console, settings.main_cost, settings.judged.metric) as watcher:
        outcome = search(settings, None if folder is None else folder.path, watcher)
    print_outcome(outcome, way_out=f"go on with --resume {outcome.run} and more --trials")


@main.command()
@click.option("--policy", "policy_file", required=True, help="Policy file, or the name of a shipped policy.")
@model_options
@task_options
@click.option("--question", help="Asked about every recording, with --task qa.")
@click.argument("audio", nargs=-1, required=True, type=PATH)
def apply(
    policy_file: str,
    model: str | None,
    device: str | None,
    dtype: str,
    attn_implementation: str | None,
    trust_remote_code: bool,
    verbose: bool,
    task: str,
    prompt: str | None,
    question: str | None,
    audio: tuple[Path, ...],
) -> None:
    """Asks the model about AUDIO files without and with a policy, side by side: transcribes them by default."""
    start_logging(verbose)
    from tuner import Policy, loading
    from tuner.evaluate.sidebyside import side_by_side
    from tuner.tasks.known import get

    policy = Policy.load(policy_file)
    loaded = loading.load(model or policy.model.id, device, dtype, attn_implementation, trust_remote_code)
    asked = get(task) if prompt is None else get(task).with_prompt(prompt)
    for one in side_by_side(loaded, policy, asked.for_model(loaded.speech.architecture), audio, question):
        table = Table(title=f"{one.audio}  ({one.seconds:.1f} s)", title_justify="left")
        table.add_column("")
        table.add_column("transcript" if asked.transcribes else "answer", ratio=1)
        table.add_column("audio tokens by layer")
        table.add_column("first token")
        table.add_row(
            "without", one.text_without, str(one.audio_tokens_without), f"{one.first_token_without * 1e3:.0f} ms"
        )
        table.add_row("with", one.text_with, _by_layer(one.audio_tokens_with), f"{one.first_token_with * 1e3:.0f} ms")
        console.print(table)


@main.command()
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True)
@click.option("--port", default=5000, show_default=True)
def ui(runs: Path, port: int) -> None:
    """Opens the MLflow pages of all runs on localhost."""
    from tuner import tracking

    tracking.ui(runs, port)


def _by_layer(tokens: tuple[int, ...]) -> str:
    """Runs of equal counts in short: `101 (0-6)  64 (7-11)`."""
    parts, start = [], 0
    for layer in range(1, len(tokens) + 1):
        if layer == len(tokens) or tokens[layer] != tokens[start]:
            parts.append(f"{tokens[start]} ({start}-{layer - 1})")
            start = layer
    return "  ".join(parts)


main.add_command(bench)
main.add_command(compare)
main.add_command(doctor)
main.add_command(probe)
main.add_command(select)
main.add_command(transfer)

if __name__ == "__main__":
    sys.exit(main())
