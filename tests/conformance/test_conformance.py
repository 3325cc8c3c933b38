"""Every family under every policy holds what the slow reference says; `tune doctor` runs the same checks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch

from tests.conformance.families import FAMILIES, load
from tests.conformance.speech import recording
from tuner.doctor.case import SHAPES, Case, Shape, Speech
from tuner.doctor.checks import BEHAVIOUR, NUMBERS
from tuner.doctor.run import LIMIT
from tuner.doctor.running import said
from tuner.errors import PolicyError
from tuner.policy import MergeSite
from tuner.runtime.apply import apply
from tuner.runtime.models import describe

UTTERANCES = [recording(2.2, seed=0), recording(1.2, seed=1), recording(2.6, seed=2)]
SEVERAL = next(shape for shape in SHAPES if shape.name == "three sites")
PROPORTIONAL = next(shape for shape in SHAPES if shape.proportional)
EVERYTHING = next(shape for shape in SHAPES if shape.everything)


@cache
def _speech(family: str, attention: str) -> Speech:
    return Speech.of(load(family, attention), UTTERANCES)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_the_slow_reference_computes(family: str, shape: Shape, attention: str) -> None:
    case = Case(_speech(family, attention), shape)
    left = _audio_left(case)
    assert left == sorted(set(left), reverse=True), "every site merges"
    assert shape.everything or left[-1] > len(UTTERANCES), "not everything is merged"
    for check, run in NUMBERS.items():
        finding = run(case)
        assert not finding.wrong, f"{check}: {finding.wrong}"
        assert finding.worst is not None
        assert finding.worst <= LIMIT, check


@pytest.mark.parametrize("check", BEHAVIOUR)
@pytest.mark.parametrize("shape", [SEVERAL, PROPORTIONAL], ids=lambda shape: shape.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_behaves(family: str, shape: Shape, check: str) -> None:
    finding = BEHAVIOUR[check](Case(_speech(family, "sdpa"), shape))
    assert not finding.wrong


def _audio_left(case: Case) -> list[int]:
    """Audio tokens of all utterances, before the first site and behind each."""
    audio_token_id = case.parts.audio_token_id
    prompts = sum(int((one["input_ids"] == audio_token_id).sum()) for one in case.speech.alone)
    return [prompts, *(sum(one.audio_tokens[site.layer] for one in case.alone) for site in case.sites)]


@pytest.mark.parametrize("family", FAMILIES)
def test_in_half_precision_it_is_as_close_as_rounding_lets_it_be(family: str) -> None:
    """With everything merged, so that rounding decides nothing but the numbers."""
    loaded = load(family)
    loaded.model.to(torch.bfloat16)
    case = Case(Speech.of(loaded, UTTERANCES), EVERYTHING)
    # Some processors round a bare model's numbers alike both ways; then their last place is what rounding can change.
    last_place = torch.finfo(torch.bfloat16).eps * max(float(one.logits.abs().max()) for one in case.alone)
    rounding = NUMBERS["rounding"](case).worst or last_place
    picks_experts = getattr(case.parts.text_config, "num_experts", None)  # by rounding, so that numbers jump
    for check in ("merging", "decoding"):
        finding = NUMBERS[check](case)
        assert not finding.wrong, check
        assert finding.worst is not None
        assert picks_experts or finding.worst <= 4 * rounding, check


@pytest.mark.parametrize("family", ["gemma3n", "gemma4"])
def test_a_merge_behind_the_first_shared_cache_is_refused(family: str) -> None:
    model = load(family).model
    donor = describe(model).first_donor
    assert donor is not None
    apply(model, [MergeSite(layer=donor, threshold=0.5)]).remove()
    with pytest.raises(PolicyError, match=f"of layer {donor}.*Merge before layer {donor} or earlier"):
        apply(model, [MergeSite(layer=donor + 1, threshold=0.5)])


def test_two_families_in_two_threads_do_not_meet() -> None:
    cases = [Case(_speech(family, "sdpa"), SEVERAL) for family in ("qwen2_audio", "gemma4")]
    expected = [_answers(case) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            assert list(pool.map(_answers, cases)) == expected


def _answers(case: Case) -> list[list[int]]:
    with case.policy.applied(case.model):
        return said(case.model, case.speech.batch, 5)
