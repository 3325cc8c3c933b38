"""Batch after batch, with smaller ones where memory runs out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from tuner.costs.memory import out_of_memory
from tuner.data.utterances import Utterance

Batch = list[Utterance]


def in_batches(batches: Iterable[Batch], step: Callable[[Batch], None], split: Callable[[Batch], list[Batch]]) -> None:
    """Takes `step` with every batch; with the parts that `split` makes of one that memory was too small for."""
    waiting = deque(batches)
    while waiting:
        batch = waiting.popleft()
        try:
            step(batch)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            waiting.extendleft(reversed(split(batch)))
