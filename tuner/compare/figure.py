"""The picture of a comparison: the metric against prefill FLOPs, a line for each method."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from tuner.compare.found import Compared, Entry
from tuner.compare.plan import COST
from tuner.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, blank, plain
from tuner.tasks.metric import Metric

_COLOURS = (VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY)
_SHAPES = "osv^DPX<>"
_LINEAR = 1.0  # points; changes beyond are drawn by their logarithm
_APART = 0.0035  # between intervals that would cover each other


def draw(found: Compared) -> Figure:
    """Change of the metric with its interval, worse being up; methods are moved a little apart. Presets are crosses."""
    figure = blank(9.0, 5.6)
    axes, metric = figure.subplots(), found.judged_by
    plain(axes)
    axes.axhline(0, color=INK, lw=0.9, ls=(0, (4, 2)), label=f"baseline, {100 * found.quality:.2f}{metric.unit}")
    rivals = [method for method in found.methods if method != found.champion]
    for number, method in enumerate(found.methods):
        entries = [one for one in found.entries if one.method == method and one.judged is not None]
        shift = _APART * (number - (len(found.methods) - 1) / 2)
        place = rivals.index(method) if method in rivals else 0
        colour = BLUE if method == found.champion else _COLOURS[place % len(_COLOURS)]
        shape = "o" if method == found.champion else _SHAPES[place % len(_SHAPES)]
        _line(axes, metric, entries, colour, shape, 2.2 if method == found.champion else 1.0, method, shift)
    for one in found.entries:
        if one.budget is None:
            _line(axes, metric, [one], INK, "x", 1.0, one.method, 0.0)
    axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=_LINEAR, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.change(value):+g}" if value else "0"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.invert_xaxis()
    axes.set_xlabel("Prefill FLOPs, % of the baseline's (methods moved a little apart)")
    axes.set_ylabel(f"Change in {metric.title}, points (worse is up)")
    axes.set_title(
        f"{found.model}, {found.task} on {found.dataset}/{found.split}, n = {found.utterances}",
        fontsize=11,
        loc="left",
        parse_math=False,
    )
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _line(
    axes: Axes, metric: Metric, entries: list[Entry], colour: str, shape: str, width: float, label: str, shift: float
) -> None:
    judged = [one.judged for one in entries if one.judged is not None]
    across = [100 * (one.costs[COST] + shift) for one in judged]
    middles = [100 * one.difference for one in judged]
    reach = [
        [100 * (one.difference - one.ci95[0]) for one in judged],
        [100 * (one.ci95[1] - one.difference) for one in judged],
    ]
    axes.errorbar(
        across, middles, yerr=reach, color=colour, marker=shape, ms=5, lw=width, elinewidth=0.8, capsize=2, label=label
    )
