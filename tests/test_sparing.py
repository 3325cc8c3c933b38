"""Short audio that merging would slow down is left alone, as far as the budget allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuner.data.utterances import Utterance
from tuner.evaluate.breakeven import Pays, break_even, spread
from tuner.policy import Policy
from tuner.search import sparing
from tuner.search.context import Context
from tuner.search.run import search
from tuner.search.settings import Settings
from tuner.search.watch import Watcher

SHIPPED = Path("search_spaces/input.yaml")
SLOWER, FASTER = (1.2, -0.01), (0.8, 0.01)


@pytest.mark.parametrize(
    ("saved", "fewest"),
    [
        ({20: -3, 40: -1, 60: 1, 80: 3}, 50),
        ({20: -3, 40: -1, 60: 1, 80: -30, 100: 5}, 50),
        ({20: 1, 40: 3}, 10),
        ({20: -1, 40: 3, 60: 3, 80: 4}, 21),
        ({20: 3, 40: 4}, 0),
        ({20: -9, 40: -8}, 41),
        ({20: -1, 40: -2}, 41),
        ({20: 2, 40: 1}, 0),
        ({20: -1}, 21),
        ({20: 1}, 0),
    ],
    ids=[
        "between",
        "an outlier bends nothing",
        "below what was measured",
        "not below what was measured to be slower",
        "always",
        "beyond what was measured",
        "the longer the worse",
        "saves everywhere, less and less",
        "one length, slower",
        "one length, faster",
    ],
)
def test_the_break_even_is_where_the_line_through_all_lengths_crosses_zero(saved: Any, fewest: int) -> None:
    assert break_even([Pays(tokens, 1.0, seconds) for tokens, seconds in saved.items()]) == fewest


def test_lengths_are_spread_from_the_shortest_to_the_longest() -> None:
    utterances = [Utterance(str(second), None, None, float(second), b"") for second in (5, 1, 9, 3, 7)]
    assert [one.seconds for one in spread(utterances, 3)] == [1, 5, 9]
    assert [one.seconds for one in spread(utterances, 8)] == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(("asked", "fewest"), [(None, 40), (0, 0), (7, 7)])
def test_what_is_asked_for_goes_before_what_the_space_says(tmp_path: Path, asked: int | None, fewest: int) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"{SHIPPED.read_text()}\nmin_audio_tokens: 40\n")
    budgets = {"prefill_flops": 0.7}
    settings = Settings("reference", budgets, space=str(space), min_audio_tokens=asked, limit=1, runs=tmp_path)
    assert Context(settings, None, Watcher()).baseline.min_audio_tokens == fewest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "slower", "given", "fewest"),
    [(0.99, 60, None, 60), (0.92, 1000, None, "less"), (0.99, 60, 30, 30)],
    ids=["measured", "as far as the budget allows", "given"],
)
def test_a_search_leaves_short_audio_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: float, slower: int, given: int | None, fewest: Any
) -> None:
    """The presets alone are searched; what the policy leaves alone is what the baseline says and costs."""
    monkeypatch.setattr(sparing, "pays", lambda *_: [Pays(slower - 1, *SLOWER), Pays(slower + 1, *FASTER)])
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
