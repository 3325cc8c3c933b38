"""The matrices of a transfer, policies and conditions by tasks: for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from tuner.report import facts, markup
from tuner.report.facts import NOTHING
from tuner.search.splits import FEW
from tuner.transfer.cells import Cell, Place

NOTE = (
    "Each cell: the change of the metric against the bare model on the same utterances, in points, with its 95% "
    "interval (paired bootstrap over utterances); the bare model's value; utterances; prefill FLOPs relative to the "
    f"bare model. Of fewer than {FEW} utterances, marked !, intervals come out too narrow."
)
_WORST = 5  # speakers on a terminal


@dataclass(frozen=True)
class Matrix:
    """One table as text; cells have a line each for change, bare model, and size and cost."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def matrices(cells: Sequence[Cell], speakers: int | None = None) -> Iterator[Matrix]:
    """Data set by data set: policies and conditions by tasks, then policies and speakers by tasks.

    Args:
        speakers: at most so many for each policy, those first that lose most on any task; all where None.
    """
    for speech in dict.fromkeys(cell.place.speech for cell in cells):
        here = [cell for cell in cells if cell.place.speech == speech]
        whole = [cell for cell in here if cell.place.speaker is None]
        yield _matrix(speech, whole, "condition", lambda place: place.condition)
        each = [cell for cell in here if cell.place.speaker is not None and cell.place.condition == _plain(here)]
        if each:
            shown = each if speakers is None else [cell for cell in each if _lost(each, cell) < speakers]
            few = "" if len(shown) == len(each) else f", the {speakers} that lose most"
            yield _matrix(f"{speech}: by speaker{few}", shown, "speaker", lambda place: place.speaker or "")


def terminal(cells: Sequence[Cell]) -> Iterator[Table]:
    """For a terminal, of the speakers the worst few."""
    for matrix in matrices(cells, _WORST):
        made = Table(title=Text(matrix.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for place, title in enumerate(matrix.head):
            made.add_column(Text(title), justify="left" if place < 2 else "right", overflow="fold")
        for row in matrix.rows:
            made.add_row(*map(Text, row))
        yield made


def markdown(cells: Sequence[Cell], command: str) -> str:
    """All matrices, with what a reader needs to judge them."""
    parts = ["# Transfer of policies", f"`{command}`", NOTE, "![changes with their intervals](transfer.png)"]
    for matrix in matrices(cells):
        rows = [[markup.plain(cell).replace("\n", "<br>") for cell in row] for row in matrix.rows]
        parts += [
            f"## {markup.plain(matrix.title)}",
            markup.table([markup.plain(title) for title in matrix.head], rows),
        ]
    return "\n\n".join(parts) + "\n"


def _matrix(title: str, cells: Sequence[Cell], kind: str, of: Callable[[Place], str]) -> Matrix:
    tasks = list(dict.fromkeys((cell.place.task, cell.metric.title) for cell in cells))
    found = {(cell.policy, of(cell.place), cell.place.task): cell for cell in cells}
    rows = []
    for policy, where in dict.fromkeys((cell.policy, of(cell.place)) for cell in cells):
        rows.append((policy, where, *(_text(found.get((policy, where, task))) for task, _ in tasks)))
    return Matrix(title, ("policy", kind, *(f"{task}: {metric}" for task, metric in tasks)), tuple(rows))


def _text(cell: Cell | None) -> str:
    if cell is None:
        return NOTHING
    judged, metric = cell.judged, cell.metric
    bounds = facts.interval(metric.change_of(judged.ci95))
    few = "!" if judged.n < FEW else ""
    return (
        f"{facts.points(metric.change(judged.difference))} ({bounds})\n"
        f"of {facts.percent(judged.baseline)}{metric.unit}\n"
        f"n = {judged.n}{few}, {facts.share(judged.costs['prefill_flops'])}"
    )


def _lost(cells: Sequence[Cell], one: Cell) -> int:
    """How many speakers lose more than this one, on any task, by the same policy."""
    losses: dict[str | None, float] = {}
    for cell in cells:
        if cell.policy == one.policy:
            before = losses.get(cell.place.speaker, float("-inf"))
            losses[cell.place.speaker] = max(before, cell.judged.difference)
    order = sorted(losses, key=lambda speaker: (-losses[speaker], str(speaker)))
    return order.index(one.place.speaker)


def _plain(cells: Sequence[Cell]) -> str:
    """The condition that comes first: the speech as it is."""
    return cells[0].place.condition
