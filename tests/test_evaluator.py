"""The evaluator: the same answers whatever the batch, and a way on when memory runs out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tuner import loading
from tuner.data.sources import load
from tuner.errors import ModelError
from tuner.evaluate.costing import Costing, ratios
from tuner.evaluate.encoded import Encoded
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
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
    finally:
        hook.remove()
    assert len(runs) == 2  # batches
    assert remembered == [plain.evaluate(policy).records for policy in policies]
    assert "forward" not in vars(loaded.model.model.audio_tower)


def test_an_encoder_runs_anew_where_memory_is_short(loaded: LoadedModel) -> None:
    judge = Evaluator(loaded, TASK, load("reference", split="search", limit=6), 4, encode_once=True)
    judge._encoded = Encoded(loaded.speech, limit=0)
    policy = Policy.for_model(loaded.model, SITES)
    assert judge.evaluate(policy).records == judge.evaluate(policy).records


def test_prefill_alone_tells_the_same_costs(loaded: LoadedModel) -> None:
    policy, judge = Policy.for_model(loaded.model, SITES), evaluator(loaded, 4)
    identity = judge.evaluate(Policy.for_model(loaded.model))
    costing = Costing.of(loaded, judge.encoder_flops)
    whole, prefill = (costing.count(one) for one in (judge.evaluate(policy), judge.prefill(policy)))
    np.testing.assert_array_equal(whole["prefill_flops"], prefill["prefill_flops"])
    np.testing.assert_array_equal(whole["kv_cache"], prefill["kv_cache"])
    found = ratios(whole, costing.count(identity))
    assert 0 < found["prefill_flops"] < found["end_to_end_flops"] < 1
    # Nothing to compare with: the prompt's text saves nothing, but the output head reads every token and saves as well.
    assert 0 < found["prefill_flops_audio"] < 1


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
