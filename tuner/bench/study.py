"""What the benchmarks of judging and searching share: their options, their speech, their pages."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tuner import loading
from tuner.bench.write import environment
from tuner.data import sources
from tuner.data.prompts import window_seconds
from tuner.data.utterances import UtteranceSet
from tuner.loading import LoadedModel
from tuner.options import PATH, console, model_options

Rows = Sequence[Sequence[str]]


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Model, speech and where results go."""
    for option in (
        model_options,
        click.option("--dataset", default="reference", show_default=True, help="As for `tune`."),
        click.option("--split", default="search", show_default=True),
        click.option("--limit", type=click.IntRange(1), help="Use only the first utterances."),
        click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True),
        click.option("--out", type=PATH, help="Folder for the results.  [default: runs/bench/WHAT-MODEL-DATE]"),
    ):
        command = option(command)
    return command


def load(
    model: str | None,
    device: str | None,
    dtype: str,
    attn_implementation: str | None,
    trust_remote_code: bool,
    dataset: str,
    split: str,
    limit: int | None,
) -> tuple[LoadedModel, UtteranceSet]:
    """The model and the speech of `study_options`."""
    loaded = loading.load(model or "reference", device, dtype, attn_implementation, trust_remote_code)
    longest = window_seconds(loaded.processor)
    return loaded, sources.load(dataset, split=split, limit=limit, max_seconds=longest)


@dataclass(frozen=True)
class Page:
    """A table with what it is about; `left` columns are text, all others numbers."""

    title: str
    head: Sequence[str]
    rows: Rows
    notes: Sequence[str]
    left: int = 1

    def table(self, look: box.Box) -> Table:
        """For a terminal, or as Markdown with `rich.box.MARKDOWN`."""
        made = Table(box=look, padding=(0, 1) if look == box.MARKDOWN else (0, 0, 0, 1))
        for number, title in enumerate(self.head):
            if number < self.left:
                made.add_column(title)  # names give way, numbers do not
            else:
                made.add_column(title, justify="right", min_width=max(map(len, title.split())))
        for row in self.rows:
            made.add_row(*row)
        return made

    def show(self, name: str, loaded: LoadedModel, settings: dict[str, Any], found: Any, out: Path | None) -> Path:
        """Prints the table, and writes it with all that was `found` to NAME.md and NAME.json in a folder."""
        console.print(self.table(box.SIMPLE_HEAD))
        for note in self.notes:
            console.print(note, highlight=False, soft_wrap=True)
        folder = out or Path("runs") / "bench" / f"{name}-{loaded.short_name}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder.mkdir(parents=True, exist_ok=True)
        facts = environment(loaded)
        command = shlex.join(["python", "-m", f"tuner.bench.{name}", *sys.argv[1:]])
        asked = {"command": command, "date": time.strftime("%Y-%m-%d"), **settings}
        content = {"settings": asked, "environment": facts, "found": found}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        page = Console(file=StringIO(), width=160)
        page.print(self.table(box.MARKDOWN))
        rows = page.file.getvalue().strip()  # type: ignore[attr-defined]  # the StringIO above
        device = f"{facts['device']}, {facts['threads']} threads, {facts['dtype']}, torch {facts['torch']}."
        parts = [f"# {self.title}", f"`{command}`", device, rows, *self.notes]
        (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        console.print(f"\nresults  {folder}", highlight=False, soft_wrap=True)
        return folder
