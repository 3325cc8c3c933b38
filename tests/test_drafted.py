"""Judging by drafts: exactly what `generate()` says, from one pass and what differs from the baseline."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from tuner import loading
from tuner.data.batches import prepare
from tuner.data.sources import load
from tuner.data.utterances import UtteranceSet
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.keep import Keep
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.runtime.affinity import Position
from tuner.tasks.asr import TASK

HUMAN = Path(__file__).parents[2] / "shared" / "speech"
POLICIES = 32
SITES = (
    MergeSite(layer=0, threshold=0.9),
    MergeSite(layer=3, threshold=0.7, window=3),
    MergeSite(layer=9, threshold=0.8),
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loading.load("reference", device="cpu")


class Judged:
    """One set of utterances judged both ways."""

    def __init__(
        self, loaded: LoadedModel, speech: UtteranceSet, batch_size: int = 16, keep: Keep | None = None
    ) -> None:
        self.plain = Evaluator(loaded, TASK, speech, batch_size, encode_once=True)
        self.identity = Policy.for_model(loaded.model)
        self.baseline = self.plain.evaluate(self.identity)
        # Another one for the drafts, which let go of what this one's encoder said.
        judge = Evaluator(loaded, TASK, speech, batch_size)
        self.drafted = Drafted(judge, self.identity, self.baseline, rungs=(0.25, 0.5), keep=keep)


@pytest.fixture(scope="module")
def shipped(loaded: LoadedModel) -> Judged:
    return Judged(loaded, load("reference", split="search"))


@pytest.fixture(scope="module")
def few(loaded: LoadedModel) -> Judged:
    return Judged(loaded, load("reference", split="search", limit=12), batch_size=4)


@pytest.fixture(scope="module")
def human(loaded: LoadedModel) -> Judged:
    """Coffee orders and digits spoken by people."""
    if not HUMAN.is_dir():
        pytest.skip(f"there is no human speech in {HUMAN}")
    whole = load(str(HUMAN / "manifest.jsonl"), split="dev", max_seconds=9.9, max_bad=10**6)
    drawn = random.Random(0).sample(whole.utterances, 40)
    return Judged(loaded, replace(whole, utterances=tuple(drawn), skipped=()))


def random_policy(loaded: LoadedModel, number: int) -> Policy:
    """From hardly merging to merging almost everything, at one to four layers."""
    rng = random.Random(number)
    layers = sorted(rng.sample(range(loaded.speech.num_layers), rng.choice([1, 2, 3, 4])))
    lowest = rng.choice([0.4, 0.5, 0.6, 0.7])
    sites = tuple(
        MergeSite(layer=layer, threshold=round(rng.uniform(lowest, lowest + 0.3), 2), window=rng.choice([1, 3]))
        for layer in layers
    )
    positions: list[Position] = ["first", "middle", "last"]
    return Policy.for_model(
        loaded.model,
        sites,
        position=rng.choice(positions),
        min_audio_tokens=rng.choice([0, 0, 0, 80]),
        proportional=rng.choice([False, True]),
    )


def differing(found: Evaluation, expected: Evaluation) -> Iterator[str]:
    """The ids of utterances about which two evaluations say something else, nats apart."""
    for one, other in zip(found.records, expected.records, strict=True):
        if replace(one, nats=None) != replace(other, nats=None):
            yield one.id


@pytest.mark.slow
@pytest.mark.parametrize("speech", ["shipped", "human"])
@pytest.mark.parametrize("number", range(POLICIES))
def test_drafts_say_what_generate_says(
    request: pytest.FixtureRequest, loaded: LoadedModel, speech: str, number: int
) -> None:
    judged: Judged = request.getfixturevalue(speech)
    policy = random_policy(loaded, number)
    found, expected = judged.drafted.evaluate(policy), judged.plain.evaluate(policy)
    # Where two tokens are as likely as each other, rounding decides: nothing else may differ, and such are rare.
    assert len(list(differing(found, expected))) <= found.ties
    assert found.ties <= 0.05 * len(expected.records)
    assert found.decoded


@pytest.mark.slow
def test_the_random_policies_are_good_middling_and_bad(loaded: LoadedModel, few: Judged) -> None:
    """Or the test above would prove little."""
    passes = [few.drafted.look(random_policy(loaded, number)) for number in range(POLICIES)]
    kept = [sum(one.agrees for one in look.verdicts.values()) / len(look.verdicts) for look in passes]
    assert sum(share > 0.8 for share in kept) >= 5
    assert sum(0.2 <= share <= 0.8 for share in kept) >= 5
    assert sum(share < 0.2 for share in kept) >= 5


def test_the_encoder_runs_once_for_each_batch(loaded: LoadedModel) -> None:
    runs: list[object] = []
    hook = loaded.model.model.audio_tower.conv1.register_forward_hook(lambda *_: runs.append(None))
    try:
        speech = load("reference", split="search", limit=8)
        plain = Evaluator(loaded, TASK, speech, 4, encode_once=True)
        identity = Policy.for_model(loaded.model)
        drafted = Drafted(plain, identity, plain.evaluate(identity))
        drafted.evaluate(Policy.for_model(loaded.model, SITES))
    finally:
        hook.remove()
    assert len(runs) == 2


def test_only_what_differs_is_decoded(loaded: LoadedModel, few: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    genuine = type(loaded.model).forward

    def counted(model: object, *args: object, **options: object) -> object:
        steps.append(options["input_ids"].shape[0])  # type: ignore[attr-defined]
        return genuine(model, *args, **options)

    monkeypatch.setattr(type(loaded.model), "forward", counted)
    unchanged = Policy.for_model(loaded.model, (MergeSite(layer=0, threshold=1.0),))
    assert not list(differing(few.drafted.evaluate(unchanged), few.baseline))
    assert sum(steps) == len(few.baseline.records)  # each utterance passed once, nothing decoded


def test_states_on_disk_change_nothing(loaded: LoadedModel, few: Judged) -> None:
    speech = load("reference", split="search", limit=12)
    on_disk = Judged(loaded, speech, batch_size=4, keep=Keep(loaded.device, limit=0))
    policy = Policy.for_model(loaded.model, SITES[1:])
    assert on_disk.drafted.evaluate(policy).records == few.drafted.evaluate(policy).records


@pytest.mark.parametrize("before", [(), SITES[:1], SITES[:2]], ids=["nothing", "one site", "two sites"])
@pytest.mark.parametrize("window", [1, 3])
def test_passes_up_to_a_layer_tell_what_a_site_keeps_there_and_go_on(
    loaded: LoadedModel, few: Judged, before: tuple[MergeSite, ...], window: int
) -> None:
    begun = few.drafted.begin(Policy.for_model(loaded.model, before), MergeSite(layer=9, threshold=0.5, window=window))
    lengths = set()
    for threshold in (0.5, 0.7, 0.85, 0.97):
        policy = Policy.for_model(loaded.model, (*before, MergeSite(layer=9, threshold=threshold, window=window)))
        whole, going_on = few.drafted.look(policy), few.drafted.look(policy, begun)
        plain = few.plain.prefill(policy)
        assert [(one.tokens, one.audio_tokens) for one in begun.retention.at(policy.sites[-1]).records] == [
            (one.tokens, one.audio_tokens) for one in plain.records
        ]
        assert going_on.verdicts == whole.verdicts
        assert going_on.evaluation.records == whole.evaluation.records
        lengths.add(plain.records[0].tokens)
    assert len(lengths) > 1  # the thresholds differ in what they keep


def test_a_candidate_can_be_given_up_after_a_rung(loaded: LoadedModel, few: Judged) -> None:
    policy = Policy.for_model(loaded.model, SITES)
    heard: list[int] = []

    def after_the_second(partial: Evaluation) -> bool:
        heard.append(len(partial.records))
        return len(heard) == 2

    partial = few.drafted.look(policy, give_up=after_the_second).evaluation
    assert heard == [3, 6]
    assert not partial.decoded
    whole = {record.id: record for record in few.drafted.look(policy).evaluation.records}
    for record in partial.records:
        assert record.nats == pytest.approx(whole[record.id].nats, abs=1e-4)
        assert record.tokens == whole[record.id].tokens


def test_nats_are_minus_the_log_likelihood_of_the_baselines_answer(loaded: LoadedModel, few: Judged) -> None:
    policy, model = Policy.for_model(loaded.model, SITES), loaded.model
    found = {record.id: record.nats for record in few.drafted.look(policy).evaluation.records}
    for one, record in list(zip(few.plain.data.utterances, few.baseline.records, strict=True))[:3]:
        inputs = prepare(loaded.processor, [one], TASK.prompt)
        cache, total = DynamicCache(config=model.config), 0.0
        with policy.applied(model), torch.inference_mode():
            last = model(**inputs, past_key_values=cache, use_cache=True).logits[0, -1]
            for token in record.answer:  # the end token included
                total -= float(last.log_softmax(-1)[token])
                mask = torch.ones(1, cache.get_seq_length() + 1, dtype=torch.long)
                step = model(input_ids=torch.tensor([[token]]), attention_mask=mask, past_key_values=cache)
                last = step.logits[0, -1]
        assert found[one.id] == pytest.approx(total, abs=1e-3)


def test_out_of_memory_halves_the_batches_and_goes_on(
    loaded: LoadedModel, few: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted = Judged(loaded, load("reference", split="search", limit=12), batch_size=8).drafted
    genuine = type(loaded.model).forward

    def small_device(model: object, *args: object, **options: object) -> object:
        if options["input_ids"].shape[0] > 4:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("no more memory")
        return genuine(model, *args, **options)

    policy = Policy.for_model(loaded.model, SITES)
    expected = few.plain.evaluate(policy)
    monkeypatch.setattr(type(loaded.model), "forward", small_device)
    assert not list(differing(drafted.evaluate(policy), expected))
