"""Tokens that were chosen over another by no more than rounding: another batch might have chosen otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor

MARGIN = 8  # times the rounding that was seen on one batch: merging adds to it, and other batches have seen less luck


def tied(scores: Tensor, tie: float) -> Tensor:
    """Where the best two of `scores` [..., vocabulary] differ by no more than `tie`, a share of the greatest."""
    best = scores.topk(2, dim=-1).values
    greatest = scores.masked_fill(scores.isinf(), 0).abs().amax(-1)
    return best[..., 0] - best[..., 1] <= tie * greatest


def tie_of(steps: Tensor, logits: Tensor, lengths: Sequence[int]) -> float:
    """What counts as a tie in a model whose logits for the same answers came out as both of these.

    Args:
        steps: [batch, steps, vocabulary] step by step; the first of each row are its answer's.
        logits: [batch, steps + 1, vocabulary] in one pass; the last but one of each row are.
        lengths: of the answers.
    """
    worst = 0.0
    for row, length in enumerate(lengths):
        stepwise, whole = steps[row, :length].float(), logits[row, -length - 1 : -1]
        worst = max(worst, float(((whole - stepwise).abs().amax(-1) / stepwise.abs().amax(-1)).max()))
    return MARGIN * max(worst, torch.finfo(torch.float32).eps)


class Margins(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Watches `generate()` choose, and counts ties; `tie` as for `tied`."""

    def __init__(self, tie: float) -> None:
        self._tie = tie
        self._tied: list[Tensor] = []

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        self._tied.append(tied(scores, self._tie))
        return scores

    def ties(self, lengths: Sequence[int]) -> int:
        """Those among the first so many tokens of each row."""
        rows = torch.stack(self._tied, dim=1)
        return sum(int(row[:length].sum()) for row, length in zip(rows, lengths, strict=True))
