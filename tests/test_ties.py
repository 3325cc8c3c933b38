"""Verdicts on given answers: in one pass what a model says token by token; and choices that rounding decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor

from tests.tiny import AUDIO, VOCABULARY, left_padded, tiny_model, utterance
from tuner.errors import ModelError
from tuner.evaluate.answers import greedily
from tuner.evaluate.forced import Verdict, rules_of, verdicts, with_answers
from tuner.evaluate.ties import MARGIN, Margins, tie_of, tied
from tuner.policy import MergeSite
from tuner.runtime.apply import apply

PAD, TIE, LIMIT, PENALTY = 0, 0.1, 12, 1.8
PROMPTS = [utterance([20], seed=1), utterance([9, 12], seed=2), utterance([30], seed=3)]
SITES = (MergeSite(layer=1, threshold=0.6), MergeSite(layer=3, threshold=0.5, window=3))


@pytest.fixture
def model() -> Any:
    """One that never says the token that marks audio."""
    made = tiny_model().requires_grad_(False)
    made.get_output_embeddings().weight[AUDIO] = 0
    return made


def greedy(model: Any, prompt: dict[str, Tensor]) -> list[int]:
    """What the model says, `LIMIT` tokens of it."""
    output = model.generate(**prompt, generation_config=greedily(model, LIMIT))
    return output[0, prompt["input_ids"].shape[1] :].tolist()  # type: ignore[no-any-return]


def slow(model: Any, prompt: dict[str, Tensor], answer: Sequence[int], ends: Sequence[int], penalty: float) -> Verdict:
    """Token by token, with a cache."""
    cache, ids = DynamicCache(config=model.config), prompt["input_ids"]
    rule = RepetitionPenaltyLogitsProcessor(penalty)
    logits = model(**prompt, past_key_values=cache, use_cache=True).logits[:, -1]
    said: list[int] = []
    agrees, nats, ties = True, 0.0, 0
    for place, token in enumerate(answer):
        likely = logits[0].softmax(-1)
        is_end = place == len(answer) - 1 and token in ends
        nats -= math.log(sum(float(likely[one]) for one in (ends if is_end else [token])))
        if agrees:
            scores = rule(ids, logits.clone())[0]
            best, second = sorted(scores.tolist())[:-3:-1]
            said.append(scores.tolist().index(best))
            ties += best - second <= TIE * float(scores.abs().max())
            agrees = said[-1] == token
        next_token = torch.tensor([[token]])
        ids = torch.cat([ids, next_token], dim=1)
        mask = torch.ones(1, cache.get_seq_length() + 1, dtype=torch.long)
        logits = model(input_ids=next_token, attention_mask=mask, past_key_values=cache).logits[:, -1]
    return Verdict(tuple(said), agrees, nats, ties)


@pytest.mark.parametrize("sites", [(), SITES], ids=["the bare model", "merging"])
@pytest.mark.parametrize("penalty", [1.0, PENALTY])
def test_one_pass_says_what_the_model_says_token_by_token(
    model: Any, sites: tuple[MergeSite, ...], penalty: float
) -> None:
    model.generation_config.repetition_penalty = penalty
    handle = apply(model, sites)
    own = [greedy(model, prompt) for prompt in PROMPTS]
    wrong = [*own[1][:4], own[1][4] + 1, *own[1][5:]]
    ends = [own[0][5], VOCABULARY - 1]  # one that the model says, one that it might have said
    cases = [
        own,  # cut off at the limit, without an end
        [own[0][:6], wrong, own[2][:3]],  # ended, differing, shorter
        [[*own[0][:5], ends[1]], own[1][:1], [1, *own[2]]],  # ended by the other end, one token, wrong at once
    ]
    found = []
    for answers in cases:
        batch = with_answers(left_padded(PROMPTS), answers, PAD)
        got = verdicts(model, batch, answers, ends, TIE)
        expected = [slow(model, *row, ends, penalty) for row in zip(PROMPTS, answers, strict=True)]
        assert [(one.said, one.agrees, one.ties) for one in got] == [
            (one.said, one.agrees, one.ties) for one in expected
        ]
        assert [one.nats for one in got] == pytest.approx([one.nats for one in expected], abs=1e-4)
        found += got
    handle.remove()
    assert [one.agrees for one in found] == [True, True, True, True, False, True, False, True, False]
    assert [len(one.said) for one in found] == [LIMIT, LIMIT, LIMIT, 6, 5, 3, 6, 1, 1]
    assert any(one.ties for one in found)


def test_a_penalty_changes_what_is_said_and_not_how_likely_answers_are(model: Any) -> None:
    answers = [greedy(model, prompt) for prompt in PROMPTS]
    batch = with_answers(left_padded(PROMPTS), answers, PAD)
    free = verdicts(model, batch, answers, (), TIE)
    model.generation_config.repetition_penalty = PENALTY
    penalised = verdicts(model, batch, answers, (), TIE)
    assert all(one.agrees for one in free)
    assert not all(one.agrees for one in penalised)
    assert [one.nats for one in free] == [one.nats for one in penalised]


@pytest.mark.parametrize(
    ("setting", "rules"),
    [
        ({}, []),
        ({"repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "suppress_tokens": [5]}, []),
        ({"min_new_tokens": 1, "eos_token_id": 7}, ["MinLengthLogitsProcessor", "MinNewTokensLengthLogitsProcessor"]),
        ({"begin_suppress_tokens": [5]}, ["SuppressTokensAtBeginLogitsProcessor"]),
        ({"forced_eos_token_id": 7}, ["ForcedEOSTokenLogitsProcessor"]),
        ({"temperature": 0.2, "top_k": 5, "do_sample": True}, []),  # there is no sampling here
    ],
)
def test_rules_that_depend_on_more_than_the_tokens_so_far_are_named(
    model: Any, setting: dict[str, Any], rules: list[str]
) -> None:
    model.generation_config.update(**setting)
    assert rules_of(model, PROMPTS[0]) == rules


def test_logits_that_are_not_finite_are_an_error(model: Any) -> None:
    model.get_output_embeddings().weight[3] = math.nan
    with pytest.raises(ModelError, match=r"not finite.*--dtype float32"):
        verdicts(model, with_answers(PROMPTS[0], [[1, 2]], PAD), [[1, 2]], (), TIE)


@pytest.mark.parametrize(
    ("scores", "close"),
    [
        ([5.0, 4.0, -10.0], True),  # a share of the greatest, whatever its sign
        ([5.0, 4.0, -9.0], False),
        ([5.0, 5.0, 0.0], True),
        ([5.0, 4.4, -math.inf], False),  # forbidden tokens count for nothing
        ([5.0, -math.inf, -math.inf], False),
    ],
)
def test_a_tie_is_a_share_of_the_greatest_score(scores: list[float], close: bool) -> None:
    assert tied(torch.tensor([scores]), 0.1).tolist() == [close]


def test_what_counts_as_a_tie_is_how_far_two_ways_to_the_same_logits_are_apart() -> None:
    """Of a batch of two, whose answers have three tokens and one."""
    steps = torch.tensor([[[1.0, -4.0]] * 3] * 2)
    whole = torch.full((2, 4, 2), 99.0)  # nothing else may be looked at
    whole[0, :3] = torch.tensor([1.0, -4.0])
    whole[1, 2] = torch.tensor([1.5, -4.0])
    assert tie_of(steps, whole, [3, 1]) == pytest.approx(MARGIN * 0.5 / 4)
    whole[1, 2] = torch.tensor([1.0, -4.0])
    assert 0 < tie_of(steps, whole, [3, 1]) < 1e-5


def test_ties_are_counted_up_to_the_end_of_each_answer() -> None:
    margins = Margins(0.1)
    close, clear = [5.0, 5.0], [5.0, 0.0]
    for step in ([close, clear], [clear, close], [close, close]):
        scores = torch.tensor(step)
        assert margins(torch.tensor([[1], [1]]), scores) is scores
    assert margins.ties([3, 2]) == 3
    assert margins.ties([1, 1]) == 1
