"""The picture of a comparison: the metric against prefill FLOPs, a line for each method."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from tuner.compare.found import Compared, Entry
from tuner.compare.plan import COST, PROPORTIONAL
from tuner.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, blank, plain

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY)
_SHAPES = "osv^DPX<>*p"
_LINEAR = 1.0  # points; changes beyond are drawn by their logarithm
_APART = 0.0035  # between intervals that would cover each other
_TITLES = {False: "merged tokens count once in attention", True: "merged tokens count by their size"}


def draw(found: Compared) -> Figure:
    """Change of the metric with its interval, worse being up. Methods that count merged tokens in attention by their
    size have a panel of their own, where there are both kinds; the champion is in both, and presets, which are
    crosses, in the first. A method has the same colour and shape in both; within a panel they are moved a little
    apart."""
    kinds = sorted({method.endswith(PROPORTIONAL) for method in found.methods})
    figure = blank(4.6 + 4.2 * len(kinds), 5.6)
    panels: list[Axes] = list(figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0])
    for axes, kind in zip(panels, kinds, strict=True):
        those = [one for one in found.methods if one == found.champion or one.endswith(PROPORTIONAL) == kind]
        _panel(axes, found, those, presets=axes is panels[0])
        if len(kinds) > 1:
            axes.set_title(_TITLES[kind], fontsize=9.5, loc="left")
    panels[0].set_ylabel(f"Change in {found.judged_by.title}, points (worse is up)")
    figure.supxlabel("Prefill FLOPs, % of the baseline's (methods moved a little apart)", fontsize=10)
    figure.suptitle(
        f"{found.model}, {found.task} on {found.dataset}/{found.split}, n = {found.utterances}",
        fontsize=11,
        parse_math=False,
    )
    shown = [axes.get_legend_handles_labels() for axes in panels]
    legend = {label: handle for handles, labels in shown for handle, label in zip(handles, labels, strict=True)}
    figure.legend(legend.values(), legend.keys(), loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _panel(axes: Axes, found: Compared, methods: Sequence[str], presets: bool) -> None:
    metric = found.judged_by
    plain(axes)
    axes.axhline(0, color=INK, lw=0.9, ls=(0, (4, 2)), label=f"baseline, {100 * found.quality:.2f}{metric.unit}")
    known = list(dict.fromkeys(one.removesuffix(PROPORTIONAL) for one in (found.champion, *found.methods)))
    for number, method in enumerate(methods):
        entries = [one for one in found.entries if one.method == method and one.judged is not None]
        name = method.removesuffix(PROPORTIONAL)
        place = known.index(name)
        colour, shape = _COLOURS[place % len(_COLOURS)], _SHAPES[place % len(_SHAPES)]
        shift = _APART * (number - (len(methods) - 1) / 2)
        if method == found.champion:
            _line(axes, entries, colour, shape, 2.4, method, shift)
        else:
            _line(axes, entries, colour, shape, 1.0, name, shift)  # which kind, the panel says
    for one in found.entries:
        if presets and one.budget is None:
            _line(axes, [one], INK, "x", 1.0, one.method, 0.0)
    axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=_LINEAR, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.change(value):+g}" if value else "0"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.invert_xaxis()


def _line(
    axes: Axes, entries: Sequence[Entry], colour: str, shape: str, width: float, label: str, shift: float
) -> None:
    judged = [one.judged for one in entries if one.judged is not None]
    across = [100 * (one.costs[COST] + shift) for one in judged]
    middles = [100 * one.difference for one in judged]
    reach = [
        [100 * (one.difference - one.ci95[0]) for one in judged],
        [100 * (one.ci95[1] - one.difference) for one in judged],
    ]
    axes.errorbar(
        across, middles, yerr=reach, color=colour, marker=shape, ms=5, lw=width, elinewidth=0.7, capsize=2, label=label
    )
