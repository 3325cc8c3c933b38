"""Given answers put behind their prompts, to hear in one pass how likely a model finds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def with_answers(inputs: dict[str, Any], answers: Sequence[Sequence[int]], pad: int) -> dict[str, Any]:
    """Model inputs [batch, tokens] with each prompt followed by its answer's token ids, padded on the left anew."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows = [
        torch.cat([row[real.bool()], torch.tensor(answer, dtype=row.dtype, device=row.device)])
        for row, real, answer in zip(ids, mask, answers, strict=True)
    ]
    longer = pad_sequence(rows, batch_first=True, padding_value=pad, padding_side="left")
    real = pad_sequence([torch.ones_like(row, dtype=mask.dtype) for row in rows], batch_first=True, padding_side="left")
    return {**inputs, "input_ids": longer, "attention_mask": real}


def nats(logits: Tensor, answers: Sequence[Sequence[int]], ends: Sequence[int]) -> list[float]:
    """Minus the log-likelihood of each answer and of any of the end tokens `ends` after it.

    The answers' tokens are the last of `logits` [batch, tokens, vocabulary]; merged audio before them does no harm.
    """
    found = []
    for row, answer in zip(logits, answers, strict=True):
        likely = row[-len(answer) - 1 :].float().log_softmax(-1)
        said = torch.tensor(answer, dtype=torch.long, device=row.device)
        found.append(-float(likely[:-1].gather(1, said[:, None]).sum() + likely[-1, list(ends)].logsumexp(0)))
    return found
