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
