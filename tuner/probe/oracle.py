"""Oracle interventions: how tokens are spared within words that an alignment, and not the model, tells apart.

As in https://arxiv.org/abs/2604.06871: what such an intervention costs in quality tells how redundant the tokens of a
layer are, apart from how well a method finds out which.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data.utterances import Utterance
from tuner.evaluate.halving import Batch
from tuner.methods.base import Grouping, Rule, Seen
from tuner.probe.stretches import stretches

Flags = NDArray[np.bool_]  # [tokens]


@dataclass(frozen=True)
class Spared:
    """What becomes of the tokens of a stretch: which join the one before them, and which of them stay."""

    joined: Flags
    kept: Flags


def random_drop(tokens: int, stay: int, draw: np.random.Generator) -> Spared:
    """Any `stay` of the tokens, drawn anew for every stretch."""
    kept = np.zeros(tokens, dtype=bool)
    kept[draw.choice(tokens, stay, replace=False)] = True
    return Spared(np.zeros(tokens, dtype=bool), kept)


def uniform_drop(tokens: int, stay: int, draw: np.random.Generator) -> Spared:
    """The middle one of each of `stay` blocks that are as even as can be."""
    borders = -(-np.arange(stay + 1) * tokens // stay)  # rounded up, as `uniform_merge` has them
    kept = np.zeros(tokens, dtype=bool)
    kept[(borders[:-1] + borders[1:] - 1) // 2] = True
    return Spared(np.zeros(tokens, dtype=bool), kept)


def uniform_merge(tokens: int, stay: int, draw: np.random.Generator) -> Spared:
    """The mean of each of `stay` blocks that are as even as can be."""
    block = np.arange(tokens) * stay // tokens
    return Spared(np.diff(block, prepend=-1) == 0, np.ones(tokens, dtype=bool))


METHODS: dict[str, Callable[[int, int, np.random.Generator], Spared]] = {
    "random-drop": random_drop,
    "uniform-drop": uniform_drop,
    "uniform-merge": uniform_merge,
}


def staying(tokens: int, retention: float) -> int:
    """How many of a stretch's tokens stay: the share that is asked for, rounded, and never none."""
    return max(1, math.floor(retention * tokens + 0.5))


def spare(utterance: Utterance, tokens: int, method: str, retention: float) -> Spared:
    """What becomes of an utterance's audio tokens. Random draws depend on the utterance and its words alone, so that
    all layers, batches and machines see the same."""
    joined, kept = np.zeros(tokens, dtype=bool), np.ones(tokens, dtype=bool)
    draw = np.random.default_rng(list(hashlib.blake2b(utterance.id.encode(), digest_size=8).digest()))
    for one in stretches(utterance, tokens):
        size, place = one.end - one.start, slice(one.start, one.end)
        spared = METHODS[method](size, staying(size, retention), draw)
        joined[place], kept[place] = spared.joined, spared.kept
    return Spared(joined, kept)


def rules(method: str, retention: float) -> Callable[[Batch], Rule]:
    """The rule of an intervention for each batch: instead of by likeness, tokens are merged or dropped by words."""

    def of(batch: Batch) -> Rule:
        def rule(seen: Seen) -> Grouping:
            joined, kept = torch.zeros_like(seen.mergeable), torch.ones_like(seen.mergeable)
            for row, one in enumerate(batch):
                places = seen.mergeable[row].nonzero()[:, 0]
                spared = spare(one, len(places), method, retention)
                joined[row, places] = torch.from_numpy(spared.joined).to(joined.device)
                kept[row, places] = torch.from_numpy(spared.kept).to(kept.device)
            return Grouping(joined, kept, None)

        return rule

    return of
