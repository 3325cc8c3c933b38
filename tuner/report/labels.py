"""Placing labels next to points so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

# Where a label may stand, in points of 1/72 inch from its point, best first; then the same further away.
_NEAR = ((9, 0), (-9, 0), (0, 11), (0, -11), (8, 9), (-8, 9), (8, -9), (-8, -9))


def place(
    axes: Axes,
    labels: Sequence[tuple[float, float, str]],
    avoid: Sequence[tuple[float, float]],
    color: str = "black",
    fontsize: float = 9,
) -> None:
    """Writes each label (x, y, text) at the free place nearest to its point.

    The axes' limits and place in the figure must be final. `avoid` are points that no label should cover. All are in
    data units.
    """
    frame = axes.get_window_extent()
    points = [tuple(axes.transData.transform(point)) for point in avoid]
    points += [tuple(axes.transData.transform((x, y))) for x, y, _ in labels]
    taken: list[Bbox] = []
    for x, y, text in labels:
        best: tuple[float, Annotation, Bbox] | None = None
        for far in (1.0, 2.2, 3.6):
            for dx, dy in _NEAR:
                label = _annotate(axes, x, y, text, (dx * far, dy * far), color, fontsize, leader=far > 1)
                box = label.get_window_extent()
                cost = _cost(box, frame, taken, points) + far
                if best is None or cost < best[0]:
                    if best is not None:
                        best[1].remove()
                    best = (cost, label, box)
                else:
                    label.remove()
        if best is not None:
            taken.append(best[2])


def _annotate(
    axes: Axes, x: float, y: float, text: str, offset: tuple[float, float], color: str, fontsize: float, leader: bool
) -> Annotation:
    dx, dy = offset
    return axes.annotate(
        text,
        (x, y),
        xytext=offset,
        textcoords="offset points",
        ha="center" if dx == 0 else "left" if dx > 0 else "right",
        va="center" if dy == 0 else "bottom" if dy > 0 else "top",
        color=color,
        fontsize=fontsize,
        parse_math=False,
        zorder=8,
        arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6} if leader else None,
        bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
    )


def _cost(box: Bbox, frame: Bbox, taken: Sequence[Bbox], points: Sequence[tuple[float, ...]]) -> float:
    """How bad a place is: leaving the frame and covering a label are far worse than covering a point."""
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    covered: int = sum(bool(box.overlaps(other)) for other in taken)
    hidden: int = sum(box.x0 - 4 <= x <= box.x1 + 4 and box.y0 - 4 <= y <= box.y1 + 4 for x, y in points)
    return 1000.0 * (not inside) + 100.0 * covered + 3.0 * hidden
