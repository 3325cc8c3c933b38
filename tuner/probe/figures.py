"""The pictures of a redundancy map, as counterparts of figures 2, 4 and 5 of https://arxiv.org/abs/2604.06871."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tuner.probe.curves import THRESHOLDS, WINDOWS
from tuner.probe.effect import Effect
from tuner.probe.found import RedundancyMap
from tuner.report.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, blank, plain
from tuner.tasks.metric import named

# Shapes differ too.
_LINES = ((VERMILION, "o"), (ORANGE, "s"), (BLUE, "^"))
_GROUPS, _ALONE = (BLUE, VERMILION, GREEN, SKY, PURPLE, ORANGE), "#EDEDED"


def draw_quality(found: RedundancyMap) -> Figure:
    """What interventions change, layer by layer: above the difference with its interval, worse being up, below the
    metric that is shown beside the task's (clamped WER), or the task's own."""
    retentions = sorted({one.retention for one in found.effects})
    figure = blank(2.2 + 2.7 * len(retentions), 5.6)
    panels = figure.subplots(2, len(retentions), sharex=True, sharey="row", squeeze=False)
    for upper, lower, retention in zip(*panels, retentions, strict=True):
        _draw_difference(upper, found, [one for one in found.effects if one.retention == retention])
        upper.set_title(f"{retention:.0%} of each word's tokens", fontsize=10)
        _draw_rate(lower, found, [one for one in found.effects if one.retention == retention])
        lower.set_xlabel("Decoder layer")
    metric = found.judged_by
    panels[0][0].set_ylabel(f"Change in {metric.title}, points")
    panels[1][0].set_ylabel((metric if found.beside is None else named(metric.beside or metric.name)).heading)
    figure.suptitle(_title(found), fontsize=11, x=0.01, ha="left", parse_math=False)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def draw_likeness(found: RedundancyMap) -> Figure:
    """How alike audio tokens are at every layer's input."""
    figure = blank(8.0, 4.2)
    axes = figure.subplots()
    plain(axes)
    layers = [one.layer for one in found.likeness]
    lines = {
        "to the token before": [one.neighbour for one in found.likeness],
        "to the utterance's mean": [one.overall for one in found.likeness],
        "to the most alike of the word": [one.word for one in found.likeness],
    }
    for (name, values), (colour, marker) in zip(lines.items(), _LINES, strict=False):
        axes.plot(layers, values, marker=marker, color=colour, ms=5, label=name)
    axes.set_xlabel("Decoder layer")
    axes.set_ylabel("Cosine similarity, mean over tokens")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(_title(found), fontsize=11, loc="left", parse_math=False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_curves(found: RedundancyMap) -> Figure:
    """What affinity pooling would keep at each layer against the threshold, for each window."""
    figure = blank(9.0, 4.4)
    panels = figure.subplots(1, len(WINDOWS), sharey=True)
    depth, viridis = max(found.layers - 1, 1), colormaps["viridis"]
    for axes, window in zip(panels, WINDOWS, strict=True):
        plain(axes)
        for curve in (one for one in found.curves if one.window == window):
            axes.plot(THRESHOLDS, [100 * kept for kept in curve.kept], color=viridis(curve.layer / depth), lw=1.3)
        axes.set_xlabel("Threshold")
        axes.set_title(f"window {window}", fontsize=10)
    panels[0].set_ylabel("Audio tokens kept, %")
    figure.suptitle(_title(found), fontsize=11, x=0.01, ha="left", parse_math=False)
    figure.colorbar(ScalarMappable(Normalize(0, depth), viridis), ax=panels, label="Decoder layer")
    return figure


def draw_maps(found: RedundancyMap) -> Figure:
    """Groups of single utterances over time and depth; lines are the borders of words, or of windows."""
    figure = blank(11.0, 0.6 + 2.6 * len(found.maps))
    for axes, one in zip(figure.subplots(len(found.maps), 1, squeeze=False)[:, 0], found.maps, strict=True):
        pixels = [_coloured(groups) for groups in one.groups]
        edge = len(one.groups) - 0.5
        axes.imshow(pixels, aspect="auto", origin="lower", extent=(0, one.seconds, -0.5, edge), interpolation="none")
        second = one.seconds / len(one.groups[0])
        for word in one.words:
            axes.axvline(word.start * second, color=INK, lw=0.7)
            if word.word is not None:
                middle = (word.start + word.end) / 2 * second
                axes.text(middle, edge, word.word, fontsize=7, ha="center", va="bottom", rotation=30, parse_math=False)
        axes.set_ylabel("Decoder layer")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_title(f"{one.id}, {one.seconds:.1f} s", fontsize=9, loc="left", pad=26, parse_math=False)
    axes.set_xlabel("Seconds")
    grouped = f"groups at similarity ≥ {found.maps[0].threshold:g}, grey: alone, lines: borders of words or windows"
    figure.suptitle(f"{_title(found)}: {grouped}", fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def _draw_difference(axes: Axes, found: RedundancyMap, effects: list[Effect]) -> None:
    plain(axes)
    band = 100 * found.tolerance
    axes.axhspan(-band, band, color=INK, alpha=0.08, lw=0, label=f"tolerance, ±{band:g}")
    axes.axhline(0, color=INK, lw=0.9, ls=(0, (4, 2)), label="baseline")
    for method, (colour, marker), own in _by_method(effects):
        layers = [one.layer for one in own]
        axes.plot(
            layers, [100 * one.difference for one in own], marker=marker, color=colour, ms=4, lw=1.3, label=method
        )
        low, high = ([100 * bound for bound in bounds] for bounds in zip(*((e.low, e.high) for e in own), strict=True))
        axes.vlines(layers, low, high, color=colour, lw=0.9, alpha=0.6)
    # Small differences decide, and the great ones go up to hundreds of points.
    axes.set_yscale("symlog", linthresh=max(band, 0.1))
    metric = found.judged_by
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.change(value):+g}" if value else "0"))


def _draw_rate(axes: Axes, found: RedundancyMap, effects: list[Effect]) -> None:
    plain(axes)
    axes.axhline(100 * _shown(found), color=INK, lw=0.9, ls=(0, (4, 2)))
    for _, (colour, marker), own in _by_method(effects):
        axes.plot([e.layer for e in own], [100 * _shown(e) for e in own], marker=marker, color=colour, ms=4, lw=1.3)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _shown(one: RedundancyMap | Effect) -> float:
    return one.quality if one.beside is None else one.beside


def _by_method(effects: list[Effect]) -> list[tuple[str, tuple[str, str], list[Effect]]]:
    """Each method with its look and its effects by layer."""
    methods = sorted({one.method for one in effects})
    return [
        (method, look, sorted((one for one in effects if one.method == method), key=lambda one: one.layer))
        for method, look in zip(methods, _LINES, strict=False)
    ]


def _coloured(groups: Sequence[int]) -> list[tuple[float, float, float]]:
    """A colour for each token: that of its group, which goes by the token that the group begins with, so that a group
    keeps it from layer to layer; never that of the group before; grey where a token is alone."""
    colours: list[tuple[float, float, float]] = []
    before = -1
    for number in sorted(set(groups)):
        size = groups.count(number)
        own = len(colours) % len(_GROUPS)
        own = (own + 1) % len(_GROUPS) if own == before else own
        colours += [to_rgb(_GROUPS[own] if size > 1 else _ALONE)] * size
        before = own if size > 1 else -1
    return colours


def _title(found: RedundancyMap) -> str:
    return f"{found.model}, {found.task} on {found.dataset}/{found.split}, n = {found.utterances}"
