"""Merging by the bare model's similarities alone: entries are groups of its tokens, told by which token opens one.

Pure tensor maths on the CPU, without a loop over tokens. An entry's state is taken for the mean of its tokens' states
in the bare model at the same layer, so every similarity is a sum of dot products of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from tuner.policy import MergeSite
from tuner.runtime.affinity import joins_at


@dataclass(frozen=True)
class Band:
    """How alike the bare model's tokens are before one layer, as far as they are at most `lags` apart.

    Attributes:
        cosines: [utterances, tokens, lags] similarity of each token to the one, two, ... before it; -2 where there is
            none.
        norms: [utterances, tokens] length of each hidden state.
    """

    cosines: Tensor
    norms: Tensor


def merge(band: Band, opens: Tensor, mergeable: Tensor, site: MergeSite) -> Tensor:
    """One more merge: which tokens open an entry behind `site`, [utterances, tokens] bool.

    Args:
        band: the tokens before the site's layer.
        opens: [utterances, tokens] bool, which tokens open an entry before the site; all of them where none has merged.
        mergeable: [utterances, tokens] bool.
        site: its threshold, window and bound.
    """
    entry = opens.cumsum(1) - 1
    entries_mergeable = torch.zeros_like(mergeable).scatter(1, entry, mergeable)  # an entry's tokens are all alike
    joined = joins_at(entry_similarities(band, opens, site.window), entries_mergeable, site.threshold, site.largest)
    return opens & ~joined.gather(1, entry)


def entry_similarities(band: Band, opens: Tensor, window: int) -> Tensor:
    """[utterances, entries, window]: cosine similarity of each entry to the one, two, ... before it; -2 where there is
    none. There are as many slots for entries as tokens; what the last, empty ones hold means nothing.

    Of two tokens farther apart than the band reaches, the later counts as like the earlier as it is to the token at the
    band's edge.
    """
    if opens.all():
        return band.cosines[..., :window]
    entry = opens.cumsum(1) - 1
    dots = _near(band, entry, window) + _far(band, entry, window)
    norms = dots[..., 0].clamp(min=1e-12).sqrt()
    found = torch.full((*entry.shape, window), -2.0)
    for distance in range(1, min(window, entry.shape[1] - 1) + 1):
        scale = norms[:, distance:] * norms[:, :-distance]
        found[:, distance:, distance - 1] = (dots[:, distance:, distance] / scale).clamp(-1, 1)
    return found


def _near(band: Band, entry: Tensor, window: int) -> Tensor:
    """[utterances, entries, window + 1]: sums of the dot products within the band, of each entry's tokens with those of
    the same entry, the one before, ..."""
    (rows, tokens), width = entry.shape, window + 1
    dots = torch.zeros(rows, tokens * width).scatter_add(1, entry * width, band.norms.square())
    for lag in range(1, min(band.cosines.shape[-1], tokens - 1) + 1):
        back = entry[:, lag:] - entry[:, :-lag]
        products = band.cosines[:, lag:, lag - 1] * band.norms[:, lag:] * band.norms[:, :-lag]
        products = products * (back < width) * _times(back)
        dots.scatter_add_(1, entry[:, lag:] * width + back.clamp(max=window), products)
    return dots.view(rows, tokens, width)


def _far(band: Band, entry: Tensor, window: int) -> Tensor:
    """The same beyond the band: a stretch of tokens counts by the sum of their norms."""
    (rows, tokens), width = entry.shape, window + 1
    index = torch.arange(tokens)
    sums = pad(band.norms.cumsum(1), (1, 0))  # before each token
    starts = torch.full((rows, tokens + 1), tokens).scatter_reduce(1, entry, index.expand_as(entry), "amin")
    edge = (index - band.cosines.shape[-1]).clamp(min=0)
    dots = torch.zeros(rows, tokens, width)
    for back in range(width):
        first, end = (
            sums.gather(1, torch.minimum(starts.gather(1, (entry - back + behind).clamp(min=0)), edge))
            for behind in (0, 1)
        )
        products = (end - first) * band.norms * band.cosines[..., -1]
        dots[..., back].scatter_add_(1, entry, products * _times(torch.tensor(back)))
    return dots


def _times(back: Tensor) -> Tensor:
    """How often a pair of tokens is in the product of two entries `back` apart: twice where they are one."""
    return torch.where(back == 0, 2, 1)
