"""What a merged cache remembers of its entries, when they are continued and cut off."""

from __future__ import annotations

import torch

from tuner.runtime.cache import Held

REAL = torch.tensor([[False, True, True, True, True]])
SIZES = torch.tensor([[1, 3, 3, 1, 1]])
PROMPT = Held(tokens=9, entries=5, real=REAL, loose=2, sizes=SIZES)


def test_text_that_follows_is_loose_as_well() -> None:
    later = PROMPT.up_to(11, attention_mask=None)
    assert (later.tokens, later.entries, later.loose) == (11, 7, 4)
    assert later.real is not None
    assert later.real.tolist() == [[False, True, True, True, True, True, True]]
    assert later.sizes is not None
    assert later.sizes.tolist() == [[1, 3, 3, 1, 1, 1, 1]]


def test_what_lies_before_a_later_merge_is_not_loose() -> None:
    assert PROMPT.followed_by(Held(tokens=6, entries=3, loose=1)).loose == 1


def test_loose_tokens_are_cut_off() -> None:
    cut = PROMPT.without(2)
    assert (cut.tokens, cut.entries, cut.loose) == (7, 3, 0)
    assert cut.real is not None
    assert cut.real.tolist() == [[False, True, True]]
    assert cut.sizes is not None
    assert cut.sizes.tolist() == [[1, 3, 3]]
