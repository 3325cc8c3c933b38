"""The picture of a transfer: each policy's change under each condition with its interval, a panel for each task."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from tuner.report.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, blank, plain
from tuner.transfer.cells import Cell

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)


def draw(cells: Sequence[Cell]) -> Figure:
    """Rows are data sets and conditions, colours are policies; 0 is the bare model on the same utterances."""
    whole = [cell for cell in cells if cell.place.speaker is None]
    tasks = list(dict.fromkeys(cell.place.task for cell in whole))
    places = list(dict.fromkeys((cell.place.speech, cell.place.condition) for cell in whole))
    policies = list(dict.fromkeys(cell.policy for cell in whole))
    several = len({speech for speech, _ in places}) > 1
    height = 1.6 + 0.28 * len(places) * max(len(policies), 2)
    figure = blank(2.2 + 3.4 * len(tasks), height)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        plain(panel)
        panel.axvline(0, color=INK, lw=0.8)
        here = [cell for cell in whole if cell.place.task == task]
        for cell in here:
            turn = policies.index(cell.policy)
            row = places.index((cell.place.speech, cell.place.condition))
            y = row + (turn - (len(policies) - 1) / 2) * 0.8 / len(policies)
            low, high = (100 * bound for bound in cell.metric.change_of(cell.judged.ci95))
            colour = _COLOURS[turn % len(_COLOURS)]
            label = cell.policy if row == 0 else None
            panel.plot([low, high], [y, y], color=colour, lw=1.8)
            panel.plot(100 * cell.metric.change(cell.judged.difference), y, "o", color=colour, ms=5, label=label)
        title = here[0].metric.title
        panel.set_xlabel(f"change in {title}, points ({'left' if here[0].metric.rises else 'right'} is worse)")
        panel.set_title(f"{task}: {title}", fontsize=10, loc="left", parse_math=False)
    texts = [f"{speech}\n{condition}" if several else condition for speech, condition in places]
    panels[0].set_yticks(range(len(places)), texts, parse_math=False)
    panels[0].set_ylim(len(places) - 0.4, -0.6)
    legend = figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
