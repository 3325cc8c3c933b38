"""Short audio that merging would slow down is left alone, as far as the budget allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuner.data.utterances import Utterance
from tuner.evaluate.breakeven import Pays, break_even, spread
from tuner.policy import Policy
from tuner.search import sparing
from tuner.search.run import search
from tuner.search.settings import Settings

SLOWER, SAME, FASTER = (1.2, 1.1, 1.3), (1.0, 0.95, 1.05), (0.8, 0.75, 0.85)


@pytest.mark.parametrize(
    ("measured", "fewest"),
    [
        ([(20, SLOWER), (50, SAME), (200, FASTER)], 21),
        ([(20, SAME), (50, SLOWER), (200, FASTER)], 51),
        ([(20, SAME), (200, FASTER)], 0),
        ([(20, SLOWER), (200, SLOWER)], 201),
        ([], 0),
    ],
)
def test_the_break_even_is_behind_the_longest_audio_that_got_slower(measured: Any, fewest: int) -> None:
    assert break_even([Pays(tokens, *times) for tokens, times in measured]) == fewest


def test_lengths_are_spread_from_the_shortest_to_the_longest() -> None:
    utterances = [Utterance(str(second), None, None, float(second), b"") for second in (5, 1, 9, 3, 7)]
    assert [one.seconds for one in spread(utterances, 3)] == [1, 5, 9]
    assert [one.seconds for one in spread(utterances, 8)] == [1, 3, 5, 7, 9]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "slower", "given", "fewest"),
    [(0.99, 60, None, 61), (0.92, 1000, None, "less"), (0.99, 60, 30, 30)],
    ids=["measured", "as far as the budget allows", "given"],
)
def test_a_search_leaves_short_audio_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: float, slower: int, given: int | None, fewest: Any
) -> None:
    """The presets alone are searched; what the policy leaves alone is what the baseline says and costs."""
    monkeypatch.setattr(sparing, "pays", lambda *_: [Pays(slower, *SLOWER), Pays(2000, *FASTER)])
    settings = Settings(
        "reference",
        {"prefill_flops": budget},
        limit=12,
        trials=3,
        device="cpu",
        min_audio_tokens=given,
        runs=tmp_path / "runs",
        policies=tmp_path / "policies",
    )
    outcome = search(settings)
    assert outcome.policy_file is not None
    policy = Policy.load(outcome.policy_file)
    assert policy.min_audio_tokens == fewest if isinstance(fewest, int) else 0 <= policy.min_audio_tokens < slower
    assert all(one.costs["prefill_flops"] <= budget for one in outcome.judgements if one.policy.hash == policy.hash)
    assert (outcome.pays == {}) == (given is not None)
