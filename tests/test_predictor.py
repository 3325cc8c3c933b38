"""The predictor: exact for the first site, close for later ones, and what it solves spends the budget."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tuner import loading
from tuner.bench.retention import main
from tuner.data.sources import load
from tuner.errors import PolicyError
from tuner.evaluate.bands import Bands
from tuner.evaluate.entries import Band, entry_similarities, merge
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.predictor import Predictor, shifted, with_threshold
from tuner.evaluate.records import Evaluation
from tuner.policy import MergeSite, Policy
from tuner.runtime.affinity import Groups, joins, similarities
from tuner.tasks.asr import TASK

Kept = Callable[[Evaluation], float]

INPUT = MergeSite(layer=0, threshold=0.85)
MIDDLE = MergeSite(layer=4, threshold=0.85, window=3)
DEEP = MergeSite(layer=8, threshold=0.85, window=3)
SHARE = 0.55  # what a policy may keep of the audio tokens
CLOSE = 0.03  # of the audio tokens; of a hundred random policies on a hundred utterances the worst was 0.025 off


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(loading.load("reference", device="cpu"), TASK, load("reference", split="search", limit=6), 4)


@pytest.fixture(scope="module")
def predictor(evaluator: Evaluator) -> Predictor:
    return Predictor(Bands.of(evaluator))


def policy(evaluator: Evaluator, *sites: MergeSite, min_audio_tokens: int = 0) -> Policy:
    return Policy.for_model(evaluator.loaded.model, sites, min_audio_tokens=min_audio_tokens)


@pytest.fixture(scope="module")
def kept(evaluator: Evaluator) -> Kept:
    """Audio tokens that leave the last layer, of those of the prompts."""

    def leaving(evaluation: Evaluation) -> int:
        return sum(one.audio_tokens[-1] for one in evaluation.records)

    whole = leaving(evaluator.prefill(policy(evaluator)))
    return lambda evaluation: leaving(evaluation) / whole


def frames(rows: int, tokens: int) -> Tensor:
    """Slowly moving noise, [rows, tokens, 6]."""
    return torch.randn(rows, tokens, 6, generator=torch.Generator().manual_seed(3)).cumsum(1)


def random_opens(rows: int, tokens: int) -> Tensor:
    """Entries of three tokens in the mean; the first token of a row opens one."""
    opens = torch.rand(rows, tokens, generator=torch.Generator().manual_seed(4)) < 0.35
    opens[:, 0] = True
    return opens


def token_by_token(band: Band, row: int, opens: Tensor, window: int) -> Tensor:
    """[entries, window]: the definition of `entry_similarities`, for one row."""
    norms, cosines, lags = band.norms[row], band.cosines[row], band.cosines.shape[-1]
    entries: list[list[int]] = []
    for token, begins in enumerate(opens.tolist()):
        entries = [*entries, [token]] if begins else [*entries[:-1], [*entries[-1], token]]

    def dot(one: int, other: int) -> float:
        later, apart = max(one, other), abs(one - other)
        alike = 1.0 if apart == 0 else float(cosines[later, min(apart, lags) - 1])
        return alike * float(norms[one] * norms[other])

    def mean_dot(one: list[int], other: list[int]) -> float:
        return sum(dot(i, j) for i in one for j in other) / (len(one) * len(other))

    found = torch.full((len(entries), window), -2.0)
    for number, entry in enumerate(entries):
        for distance in range(1, min(window, number) + 1):
            other = entries[number - distance]
            scale = math.sqrt(mean_dot(entry, entry) * mean_dot(other, other))
            found[number, distance - 1] = max(-1.0, min(1.0, mean_dot(entry, other) / scale))
    return found


@pytest.mark.parametrize(("lags", "window"), [(1, 1), (3, 1), (3, 3), (8, 3), (60, 3)])
def test_entries_are_as_alike_as_sums_over_their_tokens_say(lags: int, window: int) -> None:
    hidden, opens = frames(3, 40), random_opens(3, 40)
    band = Band(similarities(hidden, lags), hidden.norm(dim=-1))
    found = entry_similarities(band, opens, window)
    for row in range(3):
        expected = token_by_token(band, row, opens[row], window)
        torch.testing.assert_close(found[row, : len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_a_band_that_reaches_everywhere_knows_the_means() -> None:
    hidden, opens = frames(2, 40), random_opens(2, 40)
    found = entry_similarities(Band(similarities(hidden, 39), hidden.norm(dim=-1)), opens, 1)
    for row in range(2):
        starts = [*opens[row].nonzero().flatten().tolist(), 40]
        means = torch.stack([hidden[row, a:b].mean(0) for a, b in pairwise(starts)])
        expected = cosine_similarity(means[1:], means[:-1], dim=-1)
        torch.testing.assert_close(found[row, 1 : len(means), 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [1, 3])
def test_merging_again_is_what_the_runtime_does_with_the_means(window: int) -> None:
    hidden, mergeable = frames(3, 40), torch.ones(3, 40, dtype=torch.bool)
    mergeable[0, :9] = mergeable[:, 20:23] = mergeable[:, -1] = False
    band = Band(similarities(hidden, 39), hidden.norm(dim=-1))
    first, again = MergeSite(layer=0, threshold=0.9), MergeSite(layer=1, threshold=0.6, window=window)
    opens = merge(band, torch.ones_like(mergeable), mergeable, first)
    torch.testing.assert_close(opens, ~joins(hidden, mergeable, first.threshold, first.window))
    groups = Groups.form(~opens, torch.ones_like(opens))
    alone = mergeable.gather(1, groups.last) & groups.real
    fewer = joins(groups.pool(hidden), alone, again.threshold, window).sum(1)
    assert fewer.sum() > 0
    torch.testing.assert_close((~merge(band, opens, mergeable, again)).sum(1), (~opens).sum(1) + fewer)


@pytest.mark.parametrize("site", [INPUT, MIDDLE, DEEP], ids=lambda site: f"layer {site.layer}")
@pytest.mark.parametrize("min_audio_tokens", [0, 120])
def test_one_site_is_predicted_exactly(
    evaluator: Evaluator, predictor: Predictor, site: MergeSite, min_audio_tokens: int
) -> None:
    one = policy(evaluator, site, min_audio_tokens=min_audio_tokens)
    assert predictor.prefill(one).records == evaluator.prefill(one).records


def test_without_sites_nothing_is_saved(evaluator: Evaluator, predictor: Predictor) -> None:
    assert predictor.prefill(policy(evaluator)).records == evaluator.prefill(policy(evaluator)).records


@pytest.mark.parametrize("sites", [(INPUT, MIDDLE), (INPUT, DEEP), (MIDDLE, DEEP), (INPUT, MIDDLE, DEEP)])
def test_later_sites_are_predicted_closely(
    evaluator: Evaluator, predictor: Predictor, kept: Kept, sites: tuple[MergeSite, ...]
) -> None:
    whole = policy(evaluator, *sites)
    predicted, measured = kept(predictor.prefill(whole)), kept(evaluator.prefill(whole))
    assert predicted == pytest.approx(measured, abs=CLOSE)
    assert measured < kept(evaluator.prefill(policy(evaluator, *sites[:-1]))) - 2 * CLOSE


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_solved_threshold_spends_what_it_may(
    evaluator: Evaluator, predictor: Predictor, kept: Kept, number: int
) -> None:
    whole = policy(evaluator, INPUT, MIDDLE, DEEP)
    steps = [round(0.5 + 0.01 * step, 2) for step in range(53)]
    found = predictor.threshold(whole, number, steps, lambda one: kept(one) <= SHARE)
    assert steps[0] < found < steps[-1]
    assert kept(predictor.prefill(with_threshold(whole, number, found))) <= SHARE
    assert kept(predictor.prefill(with_threshold(whole, number, found + 0.01))) > SHARE
    assert kept(evaluator.prefill(with_threshold(whole, number, found))) <= SHARE + CLOSE


def test_thresholds_are_shifted_together(evaluator: Evaluator, predictor: Predictor, kept: Kept) -> None:
    whole, steps = policy(evaluator, INPUT, MIDDLE, DEEP), [0.01 * step for step in range(-30, 31)]
    found = predictor.shift(whole, steps, lambda one: kept(one) <= SHARE)
    assert (
        kept(predictor.prefill(shifted(whole, found))) <= SHARE < kept(predictor.prefill(shifted(whole, found + 0.01)))
    )
    assert [site.threshold for site in shifted(whole, 0.15).sites] == [1.0, 1.0, 1.0]
    assert shifted(whole, 0.2).is_identity


def test_the_lowest_is_all_there_is_where_nothing_keeps(evaluator: Evaluator, predictor: Predictor) -> None:
    assert predictor.threshold(policy(evaluator, DEEP), 0, [0.4, 0.5], lambda _: False) == 0.4


@pytest.mark.parametrize(
    ("site", "problem"), [(INPUT, "layers 4, 8"), (MergeSite(layer=4, threshold=0, window=3), "3")]
)
def test_what_was_not_kept_cannot_be_predicted(evaluator: Evaluator, site: MergeSite, problem: str) -> None:
    few = Predictor(Bands.of(evaluator, layers=(8, 4), lags=2))
    with pytest.raises(PolicyError, match=problem):
        few.prefill(policy(evaluator, site))


def test_the_benchmark_compares_with_what_ran(tmp_path: Path) -> None:
    asked = ["--space", "triple", "--space", "ladder", "--policies", "2", "--limit", "3", "--device", "cpu"]
    result = CliRunner().invoke(main, [*asked, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "retention.json").read_text())["found"]
    assert [one["space"] for one in found] == ["triple", "triple", "ladder", "ladder"]
    for one in found:
        assert one["predicted"]["behind"][0] == one["measured"]["behind"][0]
        assert one["measured"]["end"] < 1
        assert one["predicted"]["prefill_flops"] == pytest.approx(one["measured"]["prefill_flops"], abs=CLOSE)
    assert "| triple | behind site 1 |        2 |       0.00 |" in (tmp_path / "retention.md").read_text()
