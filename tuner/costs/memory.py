"""Memory: the most that a call needed, what a cache holds, and how running out of it looks."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # to clear_refs, see proc(5)


@dataclass(frozen=True)
class Peak:
    """Bytes: the most that was held at once, and how much of it came on top of what was there before the call.

    On CUDA tensors alone, on a CPU the whole process' resident memory.
    """

    total: int
    dynamic: int


def peak_of(run: Callable[[], object], device: torch.device) -> Peak | None:
    """What a call needs; None where the machine has no counter that can be reset. Not to be timed at the same time."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        total = torch.cuda.max_memory_allocated(device)
        return Peak(total, total - before)
    resident = _start_resident_peak() if device.type == "cpu" else None
    if resident is None:
        return None
    run()
    total = _status("VmHWM")
    return Peak(total, total - resident)


def cache_bytes(cache: Any) -> int:
    """What a transformers cache holds: the bytes of all tensors in its layers, keys and values or states."""
    return sum(
        value.nbytes for layer in cache.layers for value in vars(layer).values() if isinstance(value, torch.Tensor)
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether that is why it was raised; on a CPU it is a RuntimeError that only its text tells from others."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _start_resident_peak() -> int | None:
    """What is resident now, in bytes, after which the kernel's peak starts anew; None where there is no such kernel.

    What was freed is handed back first: else it would still count as resident, and be used again unseen.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc
        trim(0)
    try:
        (_PROC / "clear_refs").write_text(_RESET_PEAK)
        return _status("VmRSS")
    except OSError:
        return None


def _status(field: str) -> int:
    lines = (_PROC / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) << 10
