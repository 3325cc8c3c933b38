"""The two tables of a benchmark, times and costs, for a terminal and for Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table

from tuner.bench.results import BASELINE, Bench, Length, Row, Spread

NOTHING = "-"
NOTE = (
    "Times are medians of all turns, with the least and the greatest; x is the ratio to the bare model (baseline). "
    "First token: the whole call of generate() until the first token is chosen; encoder and prefill are parts of it. "
    "Merge: time at the merge sites by themselves over the baseline's prefill. Kept: audio tokens kept of those that "
    "enter each site. Peak: the most memory in a call of generate(), on top of what was there before, and in all."
)
_TIMES = ("audio", "side", "first token, ms", "x", "encoder, ms", "prefill, ms", "x", "FLOPs", "tok/s", "merge")
_COSTS = ("audio", "side", "kept", "prefill, GFLOPs", "x", "KV, MB", "x", "peak, MB", "in all")
_FILES_ONLY = ("encoder, ms", "in all")
_LEFT = 2  # columns that are aligned on the left


@dataclass(frozen=True)
class Cells:
    """One table as text; cells may have two lines."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cells(bench: Bench) -> tuple[Cells, Cells]:
    """Times and costs, a row for each side at each length."""
    rows = [(length, row) for length in bench.lengths for row in length.rows]
    return (
        Cells("Time", _TIMES, tuple(_times(bench, length, row) for length, row in rows)),
        Cells("Costs of the prefill, memory", _COSTS, tuple(_costs(length, row) for length, row in rows)),
    )


def terminal(table: Cells) -> Table:
    """For a terminal of 80 columns, without what the files tell as well."""
    made = Table(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [index for index, title in enumerate(table.head) if title not in _FILES_ONLY]
    for index in shown:
        title = table.head[index]
        justify: Literal["left", "right"] = "left" if index < _LEFT else "right"
        heading, folds = title.replace(", ", "\n"), title == "side"
        made.add_column(heading, justify=justify, overflow="fold", no_wrap=not folds, min_width=12 if folds else None)
    for row in table.rows:
        made.add_row(*(row[index] for index in shown), style="dim" if row[1] == BASELINE else None)
    return made


def markdown(bench: Bench) -> str:
    """Both tables, with what a reader needs to judge them: command, device, what was left out."""
    facts, settings = bench.environment, bench.settings
    parts = [
        f"# {bench.model} on {facts['device']}",
        f"`{settings['command']}`",
        f"{facts['device']}, {facts['threads']} threads, {facts['dtype']}, attention {facts['attention']}, torch "
        f"{facts['torch']}, transformers {facts['transformers']}, Python {facts['python']}. Turns: "
        f"{settings['repeats']}, batch size: {settings['batch_size']}, new tokens: {settings['new_tokens']}.",
    ]
    for table in cells(bench):
        if table.rows:
            parts += [f"## {table.title}", _markdown(table)]
    return "\n\n".join([*parts, *remarks(bench), NOTE, "![times against FLOPs](bench.png)"]) + "\n"


def remarks(bench: Bench) -> list[str]:
    """A sentence for every length without numbers, and one if the benchmark was interrupted."""
    missing = [f"{length.seconds:g} s left out: {length.left_out}" for length in bench.lengths if length.left_out]
    return missing + ["Interrupted: lengths that were not finished are missing."] * bench.interrupted


def _times(bench: Bench, length: Length, row: Row) -> tuple[str, ...]:
    head, ratios = _head(length, row), length.ratios(row)
    if not row.passes:
        return (*head, row.problem, *[NOTHING] * (len(_TIMES) - 3))
    seconds = row.time(lambda one: one.decode).median
    decoded = bench.settings["batch_size"] * (bench.settings["new_tokens"] - 1)
    return (
        *head,
        _milliseconds(row.time(lambda one: one.first_token)),
        NOTHING if ratios is None else f"{ratios.first_token:.3f}",
        f"{1e3 * row.time(lambda one: one.encoder).median:.1f}",
        _milliseconds(row.time(lambda one: one.prefill)),
        NOTHING if ratios is None else f"{ratios.prefill:.3f}",
        NOTHING if ratios is None else f"{ratios.prefill_flops:.3f}",
        f"{decoded / seconds:.1f}" if decoded else NOTHING,
        f"{ratios.merge:.1%}" if ratios is not None and row.sites else NOTHING,
    )


def _costs(length: Length, row: Row) -> tuple[str, ...]:
    head, counts, ratios = _head(length, row), row.counts, length.ratios(row)
    if counts is None:
        return (*head, row.problem, *[NOTHING] * (len(_COSTS) - 3))
    return (
        *head,
        "\n".join(f"{share:.1%}" for share in row.retention) or NOTHING,
        _beside_formula(counts.prefill_flops, counts.prefill_flops_formula, 1e9),
        NOTHING if ratios is None else f"{ratios.prefill_flops:.3f}",
        _beside_formula(counts.kv_bytes, counts.kv_bytes_formula, 1e6),
        NOTHING if ratios is None else f"{ratios.kv_bytes:.3f}",
        NOTHING if row.peak is None else f"{row.peak.dynamic / 1e6:.1f}",
        NOTHING if row.peak is None else f"{row.peak.total / 1e6:.0f}",
    )


def _head(length: Length, row: Row) -> tuple[str, str]:
    return f"{length.seconds:g} s", row.side


def _milliseconds(spread: Spread) -> str:
    digits = 1 if spread.high < 1 else 0
    return f"{1e3 * spread.median:.{digits}f}\n{1e3 * spread.low:.{digits}f}-{1e3 * spread.high:.{digits}f}"


def _beside_formula(counted: int, formula: int | None, unit: float) -> str:
    """What was counted, and the formula's number where that is another."""
    differs = formula is not None and formula != counted
    return f"{counted / unit:.2f}" + (f"\n(formula {formula / unit:.2f})" if differs and formula is not None else "")


def _markdown(table: Cells) -> str:
    rule = tuple("---" if index < _LEFT else "---:" for index in range(len(table.head)))
    lines = [" | ".join(cell.replace("\n", "<br>") for cell in line) for line in (table.head, rule, *table.rows)]
    return "\n".join(f"| {line} |" for line in lines)
