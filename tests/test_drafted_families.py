"""Judging by drafts in every family of speech LLMs: what `generate()` says, whichever way a model takes its audio."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.families import FAMILIES, load
from tests.conformance.speech import recording
from tuner.data.utterances import UtteranceSet
from tuner.doctor.case import SHAPES, Case, Speech
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.tasks.asr import ASR

UTTERANCES = tuple(recording(seconds, seed) for seed, seconds in enumerate((2.2, 1.2, 2.6, 0.8, 1.9)))
MERGING = [shape for shape in SHAPES if shape.name in ("deep", "three sites")]
# Their layers are given something of each token's embedding beside the states, so that states do not say everything.
HEAR_ANEW = {"gemma3n", "gemma4"}


class Brief(ASR):
    """Short answers, the more to say the longer the audio."""

    def max_new_tokens(self, seconds: float) -> int:
        return 6 + round(4 * seconds)


class Judged:
    """A family's model, and its utterances judged both ways."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.identity = Policy.for_model(loaded.model)
        self.plain = self._evaluator()
        self.baseline = self.plain.evaluate(self.identity)
        judge = self._evaluator(encode_once=True)
        self.drafted = Drafted(judge, self.identity, self.baseline, rungs=(0.5,))

    def _evaluator(self, encode_once: bool = False) -> Evaluator:
        speech = UtteranceSet("noise", "search", UTTERANCES)
        return Evaluator(self.loaded, Brief(), speech, batch_size=2, encode_once=encode_once)

    @property
    def hears_anew(self) -> bool:
        return self.drafted._passes.heard is None

    def policies(self) -> list[Policy]:
        """Policies that merge about half of the audio at each site."""
        speech = Speech.of(self.loaded, UTTERANCES[:2])
        return [Case(speech, shape).policy for shape in MERGING]


def loaded(family: str, **rules: Any) -> LoadedModel:
    """A family's model, which ends some of its answers, and never says the token that marks audio."""
    made = load(family)
    settings = made.model.generation_config
    settings.suppress_tokens = [made.speech.audio_token_id]
    answer = Judged(made).baseline.records[0].answer
    settings.update(eos_token_id=answer[4], **rules)
    return made


def without_nats(evaluation: Evaluation) -> list[UtteranceRecord]:
    return [replace(record, nats=None) for record in evaluation.records]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_drafts_say_what_generate_says(family: str) -> None:
    judged = Judged(loaded(family))
    assert judged.hears_anew == (family in HEAR_ANEW)
    assert not all(record.hit_limit for record in judged.baseline.records)
    for policy in judged.policies():
        found, expected = judged.drafted.evaluate(policy), judged.plain.evaluate(policy)
        assert without_nats(found) == without_nats(expected)
        assert without_nats(found) != without_nats(judged.baseline)
        assert found.ties == 0


def test_what_cannot_be_asked_about_drafts_is_decoded(caplog: pytest.LogCaptureFixture) -> None:
    judged = Judged(loaded("qwen2_audio", min_new_tokens=8))
    assert judged.hears_anew
    assert "MinNewTokensLength" in caplog.text
    for policy in judged.policies():
        assert without_nats(judged.drafted.evaluate(policy)) == without_nats(judged.plain.evaluate(policy))
    assert all(record.generated >= 8 for record in judged.baseline.records)


@pytest.mark.parametrize("min_new_tokens", [None, 1])
def test_answers_may_hold_the_token_that_marks_audio(min_new_tokens: int | None) -> None:
    """Whether audio is heard anew or not, what a model says is no audio."""
    made = loaded("qwen2_audio", min_new_tokens=min_new_tokens)
    audio = made.speech.audio_token_id
    made.model.generation_config.update(suppress_tokens=None, sequence_bias={(audio,): 6.0})
    judged = Judged(made)
    assert sum(audio in record.answer for record in judged.baseline.records) >= 2
    for policy in judged.policies():
        assert without_nats(judged.drafted.evaluate(policy)) == without_nats(judged.plain.evaluate(policy))


@pytest.mark.parametrize("family", ["qwen2_audio", *sorted(HEAR_ANEW)])
@pytest.mark.parametrize("layer", range(3))
def test_a_candidate_goes_on_from_any_layer(family: str, layer: int) -> None:
    """From the first one too, where there is audio to be placed and nothing to be skipped; whether or not audio is
    heard anew, and whether or not something merged before."""
    judged = Judged(loaded(family))
    before = (MergeSite(layer=0, threshold=0.5),) if layer > 1 else ()
    begun = judged.drafted.begin(Policy.for_model(judged.loaded.model, before), MergeSite(layer=layer, threshold=0.5))
    for threshold in (0.3, 0.9, 0.99):
        policy = Policy.for_model(judged.loaded.model, (*before, MergeSite(layer=layer, threshold=threshold)))
        whole, going_on = judged.drafted.look(policy), judged.drafted.look(policy, begun)
        assert going_on.verdicts == whole.verdicts
        assert going_on.evaluation.records == whole.evaluation.records
        foretold = [(one.tokens, one.audio_tokens) for one in begun.retention.at(policy.sites[-1]).records]
        assert foretold == [(one.tokens, one.audio_tokens) for one in whole.evaluation.records]
