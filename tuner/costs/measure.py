"""Time on the device, measured in alternation so that drift of the clock or the machine hits both sides alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch


def alternate(
    sides: Sequence[Callable[[], object]], device: torch.device, repeats: int = 5, warm_up: int = 1
) -> list[float]:
    """Median seconds of each side, all sides taking turns `repeats` times after `warm_up` unmeasured turns."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(warm_up + repeats):
        for side, spent in zip(sides, times, strict=True):
            _wait(device)
            began = time.perf_counter()
            side()
            _wait(device)
            if turn >= warm_up:
                spent.append(time.perf_counter() - began)
    return [statistics.median(spent) for spent in times]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
