"""Placing labels next to points so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

# Where a label may stand, in points of 1/72 inch from its own point, best first; then the same further away.
_NEAR = ((9, 0), (-9, 0), (0, 11), (0, -11), (8, 9), (-8, 9), (8, -9), (-8, -9))
_FURTHER = (1.0, 2.0, 3.0, 4.0, 5.5)


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
    points = [tuple(axes.transData.transform(point)) for point in [*avoid, *((x, y) for x, y, _ in labels)]]
    scale = axes.figure.dpi / 72
    taken: list[Bbox] = []
    for x, y, text in labels:
        label = axes.annotate(
            text,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            color=color,
            fontsize=fontsize,
            parse_math=False,
            zorder=8,
            ha="left",
            va="bottom",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )
        size = Text.get_window_extent(label)  # without the line to the point
        at_x, at_y = axes.transData.transform((x, y))
        places: list[tuple[float, int, Bbox]] = []
        for far in _FURTHER:
            for dx, dy in _NEAR:
                box = _box(at_x + dx * far * scale, at_y + dy * far * scale, size.width, size.height, (dx, dy))
                places.append((_cost(box, frame, taken, points) + far, len(places), box))
        box = min(places)[2]
        label.set_position(((box.x0 - at_x) / scale, (box.y0 - at_y) / scale))
        taken.append(box)


def _box(x: float, y: float, width: float, height: float, side: tuple[int, int]) -> Bbox:
    """The box that touches a place from the given side of it, in pixels."""
    left = x - width / 2 if side[0] == 0 else x if side[0] > 0 else x - width
    bottom = y - height / 2 if side[1] == 0 else y if side[1] > 0 else y - height
    return Bbox.from_bounds(left, bottom, width, height)


def _cost(box: Bbox, frame: Bbox, taken: Sequence[Bbox], points: Sequence[tuple[float, ...]]) -> float:
    """How bad a place is: leaving the frame and covering a label are far worse than covering a point."""
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    covered: int = sum(bool(box.overlaps(other)) for other in taken)
    hidden = sum(bool(box.x0 - 4 <= x <= box.x1 + 4 and box.y0 - 4 <= y <= box.y1 + 4) for x, y in points)
    return 1000.0 * (not inside) + 100.0 * covered + 3.0 * hidden
