"""How every figure of the project looks, and its PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, GREY, INK = "#56B4E9", "#E69F00", "#9A9A9A", "#222222"


def blank(width: float, height: float) -> Figure:
    """A white figure of so many inches, whose parts find their places."""
    return Figure(figsize=(width, height), dpi=160, layout="constrained", facecolor="white")


def plain(axes: Axes) -> None:
    """No frame, faint grid, small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#000000", alpha=0.08, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    axes.xaxis.label.set_fontsize(10)
    axes.yaxis.label.set_fontsize(10)


def settle(figure: Figure) -> None:
    """Lays the figure out for good: labels placed afterwards must not move what they were placed by."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, target: Path | BinaryIO) -> None:
    """Writes a figure as PNG into a file or a binary stream, the same bytes for the same figure."""
    figure.savefig(target, format="png", metadata={"Software": None})
