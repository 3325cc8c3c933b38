"""Every method at work in real model classes: batches, attention, the judge's exact passes, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conformance.families import FAMILIES, load
from tests.conformance.speech import recording
from tests.test_drafted_families import Judged, loaded, without_nats
from tests.tiny import left_padded, tiny_model, utterance
from tuner.doctor.case import Speech
from tuner.doctor.running import remains, said
from tuner.errors import ModelError, PolicyError
from tuner.evaluate.records import Evaluation
from tuner.methods.base import Grouping, Seen
from tuner.methods.known import BY_ATTENTION
from tuner.policy import MergeSite, Policy
from tuner.runtime.attention import Attention, attention_of
from tuner.runtime.masks import FULL, SLIDING, layer_kinds
from tuner.runtime.models import describe

UTTERANCES = [utterance([20]), utterance([12, 9], seed=1), utterance([31], seed=2)]
SETTINGS: dict[str, dict[str, Any]] = {
    "quantile": {"ratio": 0.6, "window": 3},
    "uniform": {"ratio": 0.6},
    "stride": {"ratio": 0.5},
    "interpolate": {"ratio": 0.7},
    "random": {"ratio": 0.6},
    "norm": {"ratio": 0.6},
    "atome": {"ratio": 0.7},
    "fastadasp": {"ratio": 0.6},
    "samap": {"ratio": 0.6, "threshold": 0.9},
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {attention: tiny_model(attention) for attention in ("sdpa", "eager")}


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(loaded("qwen2_audio"))


def _policy(model: Any, method: str, *layers: int, **rules: Any) -> Policy:
    return Policy.for_model(
        model, [MergeSite(layer=layer, method=method, **SETTINGS[method]) for layer in layers], **rules
    )


def _said(model: Any, inputs: dict[str, Tensor]) -> list[list[int]]:
    output = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    answers: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
    return answers


@pytest.mark.parametrize("method", SETTINGS)
def test_each_utterance_of_a_batch_gets_what_it_gets_alone(models: dict[str, Any], method: str) -> None:
    answers, lengths = [], []
    for model in models.values():
        before, bare = remains(model), _said(model, left_padded(UTTERANCES))
        with _policy(model, method, 0, 2).applied(model) as handle:
            for batches in ([left_padded(UTTERANCES)], UTTERANCES):
                rows: list[list[int]] = []
                found: list[list[int]] = []
                for batch in batches:
                    rows += _said(model, batch)
                    assert handle.lengths is not None
                    found += handle.lengths.audio_tokens.tolist()
                answers.append(rows)
                lengths.append(found)
        assert remains(model) == before
        assert _said(model, left_padded(UTTERANCES)) == bare
    assert answers == [answers[0]] * 4, "batched or alone, in either kind of attention"
    assert lengths == [lengths[0]] * 4
    for tokens, row in zip((20, 21, 31), lengths[0], strict=True):
        assert tokens > row[0] > row[2] > 0


@pytest.mark.parametrize("method", SETTINGS)
def test_drafts_say_what_generate_says_and_foretell_what_a_site_keeps(judged: Judged, method: str) -> None:
    model = judged.loaded.model
    policy = _policy(model, method, 0, 2)
    found, expected = judged.drafted.evaluate(policy), judged.plain.evaluate(policy)
    assert without_nats(found) == without_nats(expected)
    assert without_nats(found) != without_nats(judged.baseline)
    begun = judged.drafted.begin(_policy(model, method, 0), policy.sites[-1])
    for ratio in (0.5, 0.8, 0.95):
        site = policy.sites[-1].model_copy(update={"ratio": ratio})
        whole = judged.plain.prefill(policy.model_copy(update={"sites": (policy.sites[0], site)}))
        assert _lengths(begun.retention.at(site)) == _lengths(whole)
    going_on = judged.drafted.look(policy, begun)
    assert going_on.evaluation.records == judged.drafted.look(policy).evaluation.records


def _lengths(evaluation: Evaluation) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(record.tokens, record.audio_tokens) for record in evaluation.records]


@pytest.mark.parametrize(
    "family",
    [
        family if family in ("phi4_multimodal", "gemma3n") else pytest.param(family, marks=pytest.mark.slow)
        for family in FAMILIES
    ],
)
def test_every_method_works_in_every_family(family: str) -> None:
    made = load(family)
    inputs = Speech.of(made, [recording(2.2)]).alone[0]
    before, kinds = remains(made.model), layer_kinds(made.speech.text_config)
    layer = next(at for at, kind in enumerate(kinds) if at > 0 and kind in (FULL, SLIDING))
    for method in SETTINGS:
        with _policy(made.model, method, layer).applied(made.model) as handle:
            assert len(said(made.model, inputs, 3)[0]) == 3
            assert handle.lengths is not None
            first, last = handle.lengths.audio_tokens[0, [0, layer]].tolist()
            assert 0 < last < first, method
        assert remains(made.model) == before, method


def test_attention_is_what_the_model_computes_itself(models: dict[str, Any]) -> None:
    batch = left_padded(UTTERANCES[::2])
    real = batch["attention_mask"].bool()
    expected = models["eager"](**batch, output_attentions=True).attentions
    for model in models.values():
        found: list[Attention] = []

        def look(seen: Seen, found: list[Attention] = found) -> Grouping:
            found.append(seen.attend())
            return Grouping(torch.zeros_like(seen.real))

        with _policy(model, "uniform", 0, 2).applied(model) as handle:
            handle.decide_by(look)
            _said(model, batch)
        for attention, layer in zip(found, (0, 2), strict=True):
            torch.testing.assert_close(
                attention.weights(), expected[layer] * real[:, None, :, None], rtol=1e-4, atol=1e-5
            )


def test_a_layer_without_attention_is_refused() -> None:
    model = load("nemotron3_5_transcribe").model
    layer = layer_kinds(describe(model).text_config).index("linear_attention")
    _policy(model, "uniform", layer).apply(model).remove()
    for method in BY_ATTENTION:
        with pytest.raises(PolicyError, match=f"layer {layer} of .* has none. Choose another"):
            _policy(model, method, layer).apply(model)
    real = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ModelError, match="attends to nothing"):
        attention_of(lambda hidden, **_: hidden, (torch.ones(1, 3, 4),), {}, real)


def test_a_rule_decides_at_every_site_until_it_is_taken_back(models: dict[str, Any]) -> None:
    def last_three(seen: Seen) -> Grouping:
        behind = seen.mergeable.flip(1).cumsum(1).flip(1)
        return Grouping(torch.zeros_like(seen.real), kept=behind <= 3)

    model = models["sdpa"]
    with _policy(model, "uniform", 1).applied(model) as handle:
        own = _said(model, left_padded(UTTERANCES))
        handle.decide_by(last_three)
        assert _said(model, left_padded(UTTERANCES)) != own
        assert handle.lengths is not None
        assert handle.lengths.audio_tokens.tolist() == [[20, 3, 3, 3], [21, 3, 3, 3], [31, 3, 3, 3]]
        handle.decide_by(None)
        assert _said(model, left_padded(UTTERANCES)) == own


def test_merged_tokens_count_as_many_times_as_they_stand_for_tokens(models: dict[str, Any]) -> None:
    model, entered = models["sdpa"], {}
    sites = [MergeSite(layer=0, method="uniform", ratio=0.7), MergeSite(layer=1, method="uniform", ratio=0.5)]
    for weighted in (False, True):
        seen: list[Tensor] = []

        def see(_: Any, args: tuple[Any, ...], seen: list[Tensor] = seen) -> None:
            seen.append(args[0])

        watched = describe(model).layers[1]
        with Policy.for_model(model, sites, size_weighted=weighted).applied(model):
            hooks = [watched.register_forward_pre_hook(see, prepend=first) for first in (True, False)]
            model(**UTTERANCES[0])
        for hook in hooks:
            hook.remove()
        entered[weighted] = seen
    sizes = torch.bincount(torch.arange(20) * 14 // 20)  # of the 14 groups that the first site makes of 20 tokens
    assert set(sizes.tolist()) == {1, 2}
    for weighted, (tokens, means) in entered.items():
        weights = sizes.float() if weighted else torch.ones(14)
        pairs = (tokens[0, 4:18] * weights[:, None]).view(7, 2, -1).sum(1) / weights.view(7, 2).sum(1, keepdim=True)
        torch.testing.assert_close(means[0, 4:11], pairs)


def test_a_loss_needs_a_state_for_dropped_tokens_too(models: dict[str, Any]) -> None:
    model = models["sdpa"]
    with _policy(model, "stride", 0).applied(model):
        output = model(**UTTERANCES[0], labels=UTTERANCES[0]["input_ids"])
    assert output.logits.shape[1] == UTTERANCES[0]["input_ids"].shape[1]
    assert torch.isfinite(output.loss)
