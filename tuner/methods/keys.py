"""What methods read out of a layer's attention."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity, pad

from tuner.runtime.attention import Attention

_LEAST = 1e-6  # means are divided by such shares


def key_similarity(attention: Attention) -> Tensor:
    """[batch, tokens] cosine similarity of each token's key to the one before it, all heads side by side; -2 for the
    first."""
    keys = attention.keys.transpose(1, 2).flatten(2).float()
    return pad(cosine_similarity(keys[:, 1:], keys[:, :-1], dim=-1), (1, 0), value=-2.0)


def received(attention: Attention, mergeable: Tensor) -> Tensor:
    """[batch, query heads, tokens] the mean share of attention that each token gets, above 0.

    Only the audio asks. What text asks is left out, as one cannot tell there where a prompt ends and an answer begins.
    """
    asking = mergeable[:, None, :, None]
    total = (attention.weights() * asking).sum(2)
    return (total / mergeable.sum(1).clamp(min=1)[:, None, None]).clamp(min=_LEAST)
