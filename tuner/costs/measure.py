"""Measuring on the device, in alternation so that drift of the clock or the machine hits all sides alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def alternate(sides: Sequence[Callable[[], T]], repeats: int = 5, warm_up: int = 1) -> list[list[T]]:
    """What each side measured, [sides][repeats]: all take turns `repeats` times after `warm_up` uncounted turns."""
    found: list[list[T]] = [[] for _ in sides]
    for turn in range(warm_up + repeats):
        for side, measured in zip(sides, found, strict=True):
            result = side()
            if turn >= warm_up:
                measured.append(result)
    return found


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, until the device is done with it."""
    began = now(device)
    run()
    return now(device) - began


def now(device: torch.device) -> float:
    """The time in seconds once the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
