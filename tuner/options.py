"""What the commands share: the terminal, the options that name a model, and logging."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.logging import RichHandler

console = Console()
PATH = click.Path(path_type=Path)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that loads a model, named as the arguments of `tuner.loading.load`."""
    for option in (
        click.option("--model", help="reference, a checkpoint folder, or a Hub id."),
        click.option("--device", help="cuda, mps or cpu.  [default: the first of these that is there]"),
        click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16."),
        click.option("--attn-implementation", help="sdpa or eager.  [default: the model's own]"),
        click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint."),
        click.option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks."),
    ):
        command = option(command)
    return command


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that asks a model for something."""
    for option in (
        click.option(
            "--task", default="asr", show_default=True, help="asr, qa, translation, or your own: my_task.py, a module."
        ),
        click.option("--prompt", help="Instruction instead of the task's; {question} stands for a written question."),
    ):
        command = option(command)
    return command


def budget_option(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--budget`, which a command gets as a ratio by cost; `more` as for `click.option`."""
    return click.option(
        "--budget",
        "budgets",
        multiple=True,
        callback=_budgets,
        metavar="[NAME=]RATIO",
        help="Upper bound of a cost, as a ratio to the unmodified model; 0.7 bounds prefill_flops. Repeatable.",
        **more,
    )


def speech_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that tunes on a data set, named as those settings of a search."""
    for option in reversed(
        (
            click.option("--dataset", help="reference, a .jsonl/.csv manifest, a folder of audio, or a Hub id."),
            click.option("--dataset-config", help="Config of a Hub data set."),
            click.option("--split", help="Divided into a search and a selection part."),
            click.option("--search-split", help="Used as it is, together with --selection-split."),
            click.option("--selection-split", help="Where the choice is made."),
            click.option("--test-split", help="Where the choice is measured once."),
            click.option("--force-test", is_flag=True, help="Allow tuning on a split called test."),
            click.option("--limit", type=click.IntRange(1), help="At most so many utterances of each split."),
            click.option(
                "--test-limit", type=click.IntRange(1), help="At most so many of the test split.  [default: as --limit]"
            ),
            click.option(
                "--max-bad",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                help="Unusable utterances to put up with.",
            ),
        )
    ):
        command = option(command)
    return command


def list_of(kind: Callable[[str], Any], example: str) -> Callable[..., tuple[Any, ...]]:
    """A callback that reads a list with commas; `example` is one."""

    def read(_: click.Context, __: click.Parameter, value: str | None) -> tuple[Any, ...]:
        try:
            return () if value is None else tuple(kind(part.strip()) for part in value.split(","))
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: expected a list such as {example}") from error

    return read


def start_logging(verbose: bool) -> None:
    """Warnings on standard error, more on request; other libraries' progress bars would break ours."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False)],
        force=True,
    )


def _budgets(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """`0.7` bounds prefill_flops, `kv_cache=0.6` another cost."""
    budgets: dict[str, float] = {}
    for value in values:
        name, found, number = value.rpartition("=")
        try:
            budgets[name if found else "prefill_flops"] = float(number)
        except ValueError as error:
            hint = "expected a ratio such as 0.7, or a name and a ratio: kv_cache=0.6"
            raise click.BadParameter(f"{value!r}: {hint}") from error
    return budgets
