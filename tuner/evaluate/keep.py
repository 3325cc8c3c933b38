"""Tensors kept for a whole study, as near to where they are needed as there is room."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Hashable
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger(__name__)

LIMIT = 4 << 30  # bytes in the computer's memory
SHARE = 0.25  # of what is free on an accelerator when the keeping begins


class Keep:
    """Keeps tensors by key: on the device while a quarter of its free memory lasts, then in the computer's memory up
    to `limit` bytes, then in files of a temporary folder that goes away with this object.

    Args:
        device: where the tensors are used.
        limit: bytes in the computer's memory.
        room: bytes on the device; by default a share of what is free there, and none where the device is the CPU.
    """

    def __init__(self, device: torch.device, limit: int = LIMIT, room: int | None = None) -> None:
        if room is None:
            room = int(torch.cuda.mem_get_info(device)[0] * SHARE) if device.type == "cuda" else 0
        self.device = device
        self._left = {"device": room, "memory": limit}
        self._kept: dict[Hashable, Tensor | Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._numbers = itertools.count()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def put(self, key: Hashable, tensor: Tensor) -> None:
        """Keeps a copy of `tensor`.

        Raises:
            OSError: it has to go into a file and the disk is full.
        """
        tensor = tensor.detach()
        if self._takes("device", tensor):
            self._kept[key] = tensor.to(self.device, copy=True)
        elif self._takes("memory", tensor):
            self._kept[key] = tensor.to("cpu", copy=True)
        else:
            self._kept[key] = self._written(tensor)

    def get(self, key: Hashable) -> Tensor:
        """What was kept, on the device; not to be written into."""
        kept = self._kept[key]
        if isinstance(kept, Path):
            kept = torch.load(kept, weights_only=True, mmap=True)
        return kept.to(self.device)

    @property
    def left_at_hand(self) -> int:
        """Bytes that could still be kept where the tensors are used."""
        return self._left["memory" if self.device.type == "cpu" else "device"]

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more would stay out of files."""
        return size <= sum(self._left.values())

    def _takes(self, place: str, tensor: Tensor) -> bool:
        if tensor.nbytes > self._left[place]:
            return False
        self._left[place] -= tensor.nbytes
        return True

    def _written(self, tensor: Tensor) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tuner-")
            log.info(
                "what is kept of the audio has outgrown the memory given to it: the rest is in %s", self._folder.name
            )
        path = Path(self._folder.name) / f"{next(self._numbers)}.pt"
        torch.save(tensor.cpu().clone(), path)
        return path
