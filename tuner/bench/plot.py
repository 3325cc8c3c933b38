"""The picture of a benchmark: does the time follow the FLOPs, and what is it made of."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuner.bench.clock import Phases
from tuner.bench.results import Bench, Length, Row
from tuner.report.labels import place
from tuner.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, blank, plain, settle

# Shapes differ too.
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
_MARKERS = ("o", "D", "s", "^", "v")
_PARTS: tuple[tuple[str, str, Callable[[Phases], float]], ...] = (
    ("encoder", GREY, lambda one: one.encoder),
    ("prefill", SKY, lambda one: one.prefill),
    ("rest", ORANGE, lambda one: one.first_token - one.encoder - one.prefill),
)


def draw(bench: Bench) -> Figure:
    """Left: time to first token and prefill time against prefill FLOPs, over the baseline's. Right: the times."""
    figure = blank(10.0, 5.2)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        plain(axes)
    rows = [(length, row) for length in bench.lengths for row in length.rows if row.passes]
    _draw_times(right, rows)
    labels, others = _draw_ratios(left, rows)
    title = f"{bench.model} on {bench.environment['device']}, {bench.environment['dtype']}"
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
    for text in figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9).get_texts():
        text.set_parse_math(False)
    settle(figure)
    place(left, labels, others, fontsize=8)
    return figure


def _draw_ratios(
    axes: Axes, rows: list[tuple[Length, Row]]
) -> tuple[list[tuple[float, float, str]], list[tuple[float, float]]]:
    """Returns the points of times to first token, labelled with their length of audio, and all other points."""
    labels, others = [], [(1.0, 1.0)]
    for index, side in enumerate(dict.fromkeys(row.side for _, row in rows if row.sites)):
        colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
        found = [(length.seconds, length.ratios(row)) for length, row in rows if row.side == side]
        ratios = [(seconds, one) for seconds, one in found if one is not None]
        flops = [one.prefill_flops for _, one in ratios]
        axes.plot(flops, [one.first_token for _, one in ratios], marker, color=colour, ms=6, label=side)
        axes.plot(flops, [one.prefill for _, one in ratios], marker, color="none", mec=colour, ms=6)
        labels += [(one.prefill_flops, one.first_token, f"{seconds:g} s") for seconds, one in ratios]
        others += [(one.prefill_flops, one.prefill) for _, one in ratios]
    axes.plot([], [], "o", color="none", mec=INK, ms=6, label="hollow: prefill alone")
    axes.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=(0, (4, 2)), label="time follows FLOPs")
    axes.plot([1], [1], "X", color=INK, ms=7)
    points = [*others, *((x, y) for x, y, _ in labels)]
    low = min(min(point) for point in points) - 0.05
    axes.set_xlim(low, 1.05)
    axes.set_ylim(low, max(y for _, y in points) + 0.05)
    axes.set_xlabel("prefill FLOPs, relative to the baseline")
    axes.set_ylabel("time to first token or of prefill, relative to the baseline")
    return labels, others


def _draw_times(axes: Axes, rows: list[tuple[Length, Row]]) -> None:
    """A bar for each row: encoder, prefill and the rest of the time to the first token; the whole with its spread."""
    at = range(len(rows) - 1, -1, -1)  # the first row on top
    start = [0.0] * len(rows)
    for name, colour, part in _PARTS:
        widths = [1e3 * row.time(part).median for _, row in rows]
        axes.barh(at, widths, left=start, color=colour, label=name)
        start = [before + width for before, width in zip(start, widths, strict=True)]
    whole = [row.time(lambda one: one.first_token) for _, row in rows]
    spread = [[1e3 * (one.median - one.low) for one in whole], [1e3 * (one.high - one.median) for one in whole]]
    medians = [1e3 * one.median for one in whole]
    axes.errorbar(medians, at, xerr=spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.set_yticks(at, [f"{length.seconds:g} s  {row.side}" for length, row in rows], parse_math=False)
    axes.set_xlabel("time to first token, ms: median, least and greatest")
