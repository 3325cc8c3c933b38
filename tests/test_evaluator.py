"""The evaluator: the same answers whatever the batch, and a way on when memory runs out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tuner import loading
from tuner.data.batches import prepare
from tuner.data.sources import load
from tuner.errors import ModelError
from tuner.evaluate.costing import Costing, ratios
from tuner.evaluate.encoded import Encoded
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.evaluate.retention import Retention
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.tasks.asr import TASK

SITES = (MergeSite(layer=0, threshold=0.9), MergeSite(layer=8, threshold=0.7, window=3))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loading.load("reference", device="cpu")


def evaluator(loaded: LoadedModel, batch_size: int) -> Evaluator:
    return Evaluator(loaded, TASK, load("reference", split="search", limit=6), batch_size)


def test_answers_and_lengths_do_not_depend_on_the_batch(loaded: LoadedModel) -> None:
    policy = Policy.for_model(loaded.model, SITES)
    alone, together = evaluator(loaded, 1).evaluate(policy), evaluator(loaded, 4).evaluate(policy)
    assert alone.records == together.records
    assert [record.id for record in alone.records] == [
        one.id for one in load("reference", split="search", limit=6).utterances
    ]


def test_an_encoder_that_runs_once_changes_nothing(loaded: LoadedModel) -> None:
    speech = load("reference", split="search", limit=6)
    plain, once = Evaluator(loaded, TASK, speech, 4), Evaluator(loaded, TASK, speech, 4, encode_once=True)
    runs: list[object] = []
    hook = loaded.model.model.audio_tower.conv1.register_forward_hook(lambda *_: runs.append(None))
    policies = [Policy.for_model(loaded.model, sites) for sites in ((), SITES, SITES[:1])]
    try:
        remembered = [once.evaluate(policy).records for policy in policies]
        similar = once.similarities(policies[2], 5, 3)[1]
    finally:
        hook.remove()
    assert len(runs) == 2  # batches
    assert remembered == [plain.evaluate(policy).records for policy in policies]
    for name, expected in plain.similarities(policies[2], 5, 3)[1].items():
        torch.testing.assert_close(similar[name].similar, expected.similar, rtol=0, atol=0)
    assert "forward" not in vars(loaded.model.model.audio_tower)


def test_an_encoder_runs_anew_where_memory_is_short(loaded: LoadedModel) -> None:
    judge = Evaluator(loaded, TASK, load("reference", split="search", limit=6), 4, encode_once=True)
    judge._encoded = Encoded(loaded.speech, limit=0)
    policy = Policy.for_model(loaded.model, SITES)
    assert judge.evaluate(policy).records == judge.evaluate(policy).records


def test_prefill_alone_tells_the_same_costs(loaded: LoadedModel) -> None:
    policy, judge = Policy.for_model(loaded.model, SITES), evaluator(loaded, 4)
    identity = judge.evaluate(Policy.for_model(loaded.model))
    costing = Costing.of(loaded, judge.encoder_flops())
    whole, prefill = (costing.count(one) for one in (judge.evaluate(policy), judge.prefill(policy)))
    np.testing.assert_array_equal(whole["prefill_flops"], prefill["prefill_flops"])
    np.testing.assert_array_equal(whole["kv_cache"], prefill["kv_cache"])
    found = ratios(whole, costing.count(identity))
    assert 0 < found["prefill_flops_audio"] < found["prefill_flops"] < found["end_to_end_flops"] < 1


@pytest.mark.parametrize("before", [(), SITES[:1]], ids=["nothing", "the input"])
@pytest.mark.parametrize("window", [1, 3])
def test_one_prefill_tells_what_a_further_site_keeps_at_any_threshold(
    loaded: LoadedModel, before: tuple[MergeSite, ...], window: int
) -> None:
    judge = evaluator(loaded, 4)
    retention = Retention(*judge.similarities(Policy.for_model(loaded.model, before), 5, window), layer=5)
    lengths = set()
    for threshold in (0.5, 0.7, 0.85, 0.97):
        further = MergeSite(layer=5, threshold=threshold, window=window)
        measured = judge.prefill(Policy.for_model(loaded.model, (*before, further)))
        assert retention.at(threshold).records == measured.records
        lengths.add(measured.records[0].tokens)
    assert len(lengths) > 1  # the thresholds differ in what they keep


def test_out_of_memory_halves_the_batch_and_goes_on(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluator(loaded, 2).evaluate(Policy.for_model(loaded.model))
    judge = Evaluator(loaded, TASK, load("reference", split="search", limit=6), 6, encode_once=True)
    judge.prefill(Policy.for_model(loaded.model))  # so that the encoder's results for six are kept
    generate = loaded.model.generate

    def small_device(**inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no more memory")
        return generate(**inputs)

    monkeypatch.setattr(loaded.model, "generate", small_device)
    assert judge.evaluate(Policy.for_model(loaded.model)).records == whole.records
    assert judge.batch_size == 2
    assert judge._encoded is not None
    assert all(len(ids) <= 2 for ids, _ in judge._encoded._kept)  # type: ignore[arg-type]  # keys are batches of ids

    def no_device(**_: Any) -> Any:
        raise torch.OutOfMemoryError("no more memory")

    monkeypatch.setattr(loaded.model, "generate", no_device)
    with pytest.raises(ModelError, match="single utterance"):
        judge.evaluate(Policy.for_model(loaded.model))


def test_records_survive_a_file(loaded: LoadedModel) -> None:
    evaluation = evaluator(loaded, 4).evaluate(Policy.for_model(loaded.model))
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_surprise_is_minus_the_log_likelihood_of_an_answer_and_its_end(loaded: LoadedModel) -> None:
    speech = load("reference", split="search", limit=4)
    answers = {one.id: one.text or "" for one in speech.utterances}
    policy = Policy.for_model(loaded.model, SITES)
    together = Evaluator(loaded, TASK, speech, 4).surprise(policy, answers)
    model, processor = loaded.model, loaded.processor
    for one in speech.utterances:
        inputs = prepare(processor, [one], TASK.prompt)
        cache, total = DynamicCache(config=model.config), 0.0
        with policy.applied(model), torch.inference_mode():
            last = model(**inputs, past_key_values=cache, use_cache=True).logits[0, -1]
            for token in processor.tokenizer.encode(answers[one.id], add_special_tokens=False):
                total -= float(last.log_softmax(-1)[token])
                mask = torch.ones(1, cache.get_seq_length() + 1, dtype=torch.long)
                step = model(input_ids=torch.tensor([[token]]), attention_mask=mask, past_key_values=cache)
                last = step.logits[0, -1]
            total -= float(last.log_softmax(-1)[model.generation_config.eos_token_id])
        assert together[one.id] == pytest.approx(total, abs=1e-3)
