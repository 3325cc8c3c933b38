"""The vectorised grouping says what a left-to-right loop says, and pooling conserves what it merges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuner.doctor.reference import groups_of
from tuner.runtime.affinity import Groups, Position, joins

WIDTH = 8


def _walk(tokens: int, step: float, seed: int) -> Tensor:
    """[tokens, WIDTH]: a random walk, whose neighbours are the more alike the smaller the step."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, WIDTH, generator=generator) + step * torch.randn(tokens, WIDTH, generator=generator).cumsum(0)


def _alternating(tokens: int) -> Tensor:
    """Every token is unlike its neighbour and equal to the one before that."""
    return torch.eye(WIDTH)[torch.arange(tokens) % 2]


def _runs(tokens: int, seed: int) -> Tensor:
    """[tokens] bool: runs of audio of random lengths, single tokens among them."""
    return torch.rand(tokens, generator=torch.Generator().manual_seed(seed)) > 0.25


EVERYWHERE = torch.ones(40).bool()
INPUTS = {
    "a slow walk": (_walk(40, 0.1, 0), EVERYWHERE),
    "a fast walk": (_walk(40, 0.8, 1), EVERYWHERE),
    "many runs": (_walk(40, 0.3, 2), _runs(40, 2)),
    "alternating tokens": (_alternating(40), EVERYWHERE),
    "alternating tokens in runs": (_alternating(40), _runs(40, 3)),
    "all alike": (torch.ones(40, WIDTH), EVERYWHERE),
    "all alike in runs": (torch.ones(40, WIDTH), _runs(40, 4)),
    "none alike": (torch.eye(40), EVERYWHERE),
    "zeros": (torch.zeros(40, WIDTH), EVERYWHERE),
    "no audio": (torch.ones(40, WIDTH), ~EVERYWHERE),
    "one token": (torch.ones(1, WIDTH), EVERYWHERE[:1]),
    "two tokens": (torch.ones(2, WIDTH), EVERYWHERE[:2]),
}


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("window", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("case", INPUTS)
def test_groups_equal_those_of_a_loop(case: str, window: int, largest: int) -> None:
    hidden, mergeable = INPUTS[case]
    for threshold in (-1.0, 0.0, 0.5, 0.9, 0.98):
        joined = joins(hidden[None], mergeable[None], threshold, window, largest)[0]
        expected = groups_of(hidden, mergeable.tolist(), threshold, window, largest)
        opens = [group[0] for group in expected]
        assert (~joined).nonzero().flatten().tolist() == opens, f"threshold {threshold}"


def test_many_random_inputs_equal_a_loop() -> None:
    for seed in range(100):
        hidden, mergeable = _walk(1 + seed % 33, 0.02 * (1 + seed % 40), seed), _runs(1 + seed % 33, seed)
        window, largest = 1 + seed % 6, seed % 5
        joined = joins(hidden[None], mergeable[None], 0.8, window, largest)[0]
        opens = [group[0] for group in groups_of(hidden, mergeable.tolist(), 0.8, window, largest)]
        assert (~joined).nonzero().flatten().tolist() == opens, f"seed {seed}"


def test_a_window_looks_past_the_last_member_but_not_past_the_group() -> None:
    middle, left, right, across = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6], [0.0, 1.0]])
    everywhere = torch.ones(1, 3).bool()
    # left and right are alike to the middle (0.8), not to each other (0.28).
    opening_with_the_middle = torch.stack([middle, left, right])[None]
    assert joins(opening_with_the_middle, everywhere, 0.7, window=1).tolist() == [[False, True, False]]
    assert joins(opening_with_the_middle, everywhere, 0.7, window=2).tolist() == [[False, True, True]]
    # The third token equals the first, whose group the second has closed.
    closed = torch.stack([middle, across, middle])[None]
    assert joins(closed, everywhere, 0.7, window=2).tolist() == [[False, False, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pooling_conserves_sizes_order_and_sums(dtype: torch.dtype) -> None:
    hidden = torch.stack([_walk(40, 0.3, seed) for seed in range(3)]).to(dtype)
    real = torch.arange(40) >= torch.tensor([[0], [7], [25]])  # left padding
    mergeable = torch.stack([_runs(40, seed) for seed in range(3)]) & real
    groups = Groups.form(joins(hidden, mergeable, 0.8, 3), real)
    pooled = groups.pool(hidden)
    assert groups.largest > 3
    assert pooled.dtype == dtype
    for row in range(3):
        expected = groups_of(hidden[row].float(), mergeable[row].tolist(), 0.8, 3)
        expected = [group for group in expected if real[row, group[0]]]
        filled = groups.real[row]
        assert filled.tolist() == sorted(filled.tolist()), "groups are right-aligned"
        assert groups.sizes[row][filled].tolist() == [len(group) for group in expected]
        assert groups.sizes[row][filled].sum() == real[row].sum()
        slots = filled.nonzero().flatten().tolist()
        entries = [slot for slot, group in zip(slots, expected, strict=True) for _ in group]
        assert groups.entry()[row][real[row]].tolist() == entries, "every token finds its group"
        means = torch.stack([hidden[row, group].float().mean(0) for group in expected]).to(dtype)
        torch.testing.assert_close(pooled[row][filled], means)
        alone = torch.tensor([len(group) == 1 for group in expected])
        assert torch.equal(pooled[row][filled][alone], means[alone]), "what is not merged is not changed"


@pytest.mark.parametrize(
    ("position", "kept"), [("first", [0, 1, 4, 6]), ("middle", [0, 2, 4, 7]), ("last", [0, 3, 5, 9])]
)
def test_a_group_keeps_the_position_of_one_member(position: Position, kept: list[int]) -> None:
    opens = torch.tensor([[1, 1, 0, 0, 1, 0, 1, 0, 0, 0]]).bool()
    assert Groups.form(~opens, torch.ones(1, 10).bool()).member(position).tolist() == [kept]


def test_tokens_are_compared_in_float32() -> None:
    hidden, everywhere = _walk(200, 0.3, 5).to(torch.bfloat16)[None], torch.ones(1, 200).bool()
    for threshold in (0.95, 0.98, 0.99):
        exact = joins(hidden.float(), everywhere, threshold, 1)
        assert torch.equal(joins(hidden, everywhere, threshold, 1), exact)


def test_at_the_lowest_threshold_even_opposites_join() -> None:
    there = torch.randn(100, 1, WIDTH, generator=torch.Generator().manual_seed(0))
    joined = joins(torch.cat([there, -there], dim=1), torch.ones(100, 2).bool(), -1.0, 1)
    assert joined[:, 1].all(), "a cosine is never below -1, not even by rounding"


def test_the_mean_is_taken_in_float32() -> None:
    hidden = torch.tensor([[[1.0], [256.0], [1.0]]], dtype=torch.bfloat16)  # in bfloat16, 256 + 1 is 256
    everywhere = torch.ones(1, 3).bool()
    assert Groups.form(joins(hidden, everywhere, 0.9, 1), everywhere).pool(hidden).tolist() == [[[86.0]]]
