"""A redundancy map as a table, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from tuner.probe.curves import WINDOWS
from tuner.probe.effect import Harm
from tuner.probe.found import RedundancyMap
from tuner.report import markup
from tuner.report.facts import NOTHING, percent, points, share

_MARK: dict[Harm, str] = {"harmless": " ", "harmful": "!", "undecided": "?"}
_STYLE: dict[Harm, str] = {"harmless": "green", "harmful": "red", "undecided": "yellow"}
_KEPT_AT = (0.5, 0.7, 0.9)  # thresholds that the table tells the retention at


def terminal(found: RedundancyMap) -> Table:
    """Changes in points by layer, method and retention: green harmless, red (!) harmful, yellow (?) undecided."""
    table = Table(
        title="Change in points by layer", title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False
    )
    table.add_column("layer", justify="right", no_wrap=True)
    for method, retention in _columns(found):
        table.add_column(f"{method.replace('-', chr(10))}\n{retention:.0%}", justify="right", no_wrap=True)
    for layer in _layers(found):
        table.add_row(str(layer), *(Text(text, style) for text, style in _cells(found, layer)))
    return table


def baseline(found: RedundancyMap) -> str:
    """What the interventions are held against, and by what words they go."""
    words = "words from alignments"
    if found.aligned < found.utterances:
        words = f"uniform windows of 0.3 s for the {found.utterances - found.aligned} utterances without alignments"
        words += f", words for {found.aligned}" if found.aligned else ""
    metric = found.judged_by
    measured = f"{metric.title} {percent(found.quality)}"
    measured += "" if found.beside is None else f", {metric.beside} {percent(found.beside)}"
    return (
        f"{found.model}, {found.task}: {found.utterances} utterances of {found.dataset}/{found.split}; baseline "
        f"{measured}; {words}. Harmless: by its whole 95% interval at most {100 * found.tolerance:g} points worse; "
        "harmful (!): by all of it more than that; else undecided (?)."
    )


def markdown(found: RedundancyMap, command: str) -> str:
    """The map as Markdown; pictures are expected next to it."""
    return "\n\n".join(_sections(found, command)) + "\n"


def _sections(found: RedundancyMap, command: str) -> Iterator[str]:
    yield f"# Redundancy map of {markup.plain(found.model)}"
    yield f"```sh\n{command}\n```"
    yield markup.plain(baseline(found))
    yield "\n".join(f"- {markup.plain(sentence)}" for sentence in found.verdict)
    yield "## Oracle interventions: change in points"
    yield "![Change by layer, method and retention](quality.png)"
    heads = [f"{method}, {retention:.0%}" for method, retention in _columns(found)]
    rows = [(str(layer), *(text for text, _ in _cells(found, layer))) for layer in _layers(found)]
    yield markup.table(("Layer", *heads), rows)
    yield "## How alike tokens are, and what affinity pooling would keep"
    yield "![Similarity by layer](similarity.png)"
    kept = [f"kept at {threshold:g}, window {window}" for window in WINDOWS for threshold in _KEPT_AT]
    yield markup.table(
        ("Layer", "neighbour", "mean", "in word", *kept), [_alike(found, n) for n in range(found.layers)]
    )
    yield "![Retention against threshold](retention.png)"
    yield "![Groups of single utterances](groups.png)"


def _alike(found: RedundancyMap, layer: int) -> tuple[str, ...]:
    one = next(one for one in found.likeness if one.layer == layer)
    curves = {curve.window: curve for curve in found.curves if curve.layer == layer}
    kept = [share(curves[window].at(threshold)) for window in WINDOWS for threshold in _KEPT_AT]
    return (str(layer), *(f"{value:.2f}" for value in (one.neighbour, one.overall, one.word)), *kept)


def _cells(found: RedundancyMap, layer: int) -> list[tuple[str, str]]:
    """A layer's changes as text, and the style that tells what they mean."""
    own = {(one.method, one.retention): one for one in found.effects if one.layer == layer}
    cells = []
    for column in _columns(found):
        harm = own[column].harm(found.tolerance) if column in own else None
        text = NOTHING if harm is None else points(found.judged_by.change(own[column].difference)) + _MARK[harm]
        cells.append((text, "" if harm is None else _STYLE[harm]))
    return cells


def _columns(found: RedundancyMap) -> list[tuple[str, float]]:
    return sorted({(one.method, one.retention) for one in found.effects}, key=lambda column: (column[1], column[0]))


def _layers(found: RedundancyMap) -> list[int]:
    return sorted({one.layer for one in found.effects})
