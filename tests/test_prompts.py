"""Every family's processor is asked in its own way, and its answers come back as plain words."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from tests.conformance.families import FAMILIES, load
from tests.conformance.speech import recording, recordings
from tuner.data.batches import prepare
from tuner.data.prompts import decode, window_seconds
from tuner.errors import DataError, ModelError
from tuner.loading import LoadedModel

PROMPT = "Transcribe the speech."

loaded_once = cache(load)


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return loaded_once(request.param)


def audio_tokens(loaded: LoadedModel, *seconds: float) -> list[int]:
    inputs = prepare(loaded.processor, [recording(one) for one in seconds], PROMPT, transcribes=True)
    counts: list[int] = (inputs["input_ids"] == loaded.speech.audio_token_id).sum(-1).tolist()
    return counts


def test_a_batch_is_padded_on_the_left_and_holds_what_each_utterance_holds_alone(loaded: LoadedModel) -> None:
    inputs = prepare(loaded.processor, recordings(), PROMPT, transcribes=True)
    mask = inputs["attention_mask"]

    assert "labels" not in inputs
    assert mask.bool().all(-1).any(), "the longest needs no padding"
    assert (mask.diff(dim=-1) >= 0).all(), "padding belongs on the left"
    for one, ids, real in zip(recordings(), inputs["input_ids"], mask.bool(), strict=True):
        alone = prepare(loaded.processor, [one], PROMPT, transcribes=True)
        assert ids[real].tolist() == alone["input_ids"][0].tolist()


@torch.inference_mode()
def test_the_model_hears_it_and_its_answers_become_text(loaded: LoadedModel) -> None:
    inputs = prepare(loaded.processor, recordings(), PROMPT, transcribes=True)
    assert loaded.model(**inputs).logits.isfinite().all()  # refuses a wrong number of audio tokens

    answers = loaded.model.generate(**inputs, max_new_tokens=3, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    texts = decode(loaded.processor, answers.tolist(), transcribes=True)
    assert answers.shape == (3, 3)
    assert [type(text) for text in texts] == [str] * 3


def test_long_audio_is_heard_to_its_end_or_refused(loaded: LoadedModel) -> None:
    window = window_seconds(loaded.processor)
    if window is None:
        half, whole = audio_tokens(loaded, 4.5, 9.0)
        assert 1.8 < whole / half < 2.2
    else:
        audio_tokens(loaded, window)
        with pytest.raises(DataError, match=rf"hears only {window} s; give it shorter audio"):
            audio_tokens(loaded, window + 0.5)


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("qwen2_audio", 4.0),  # the extractor's window
        ("audioflamingo3", 8.0),  # two windows, the processor's own limit
        ("gemma4", 30.0),  # a default of the extractor's call
        ("qwen3_asr", None),  # the same extractor's window, but the processor cuts nothing
        ("moss_transcribe_diarize", None),  # as many windows as it takes
    ],
)
def test_the_window_is_what_the_processor_really_takes(name: str, window: float | None) -> None:
    assert window_seconds(loaded_once(name).processor) == window


@pytest.mark.parametrize(
    ("name", "transcribes", "expected"),
    [
        ("qwen2_audio", True, f"user: [audio]{PROMPT}assistant: "),
        ("granite_speech", True, f"user: [audio]{PROMPT}\nassistant: "),  # a template that knows text alone
        ("phi4_multimodal", False, f"user: [audio]{PROMPT}\nassistant: "),
        ("glmasr", True, "user: [audio]Please transcribe this audio into textassistant: "),
        ("glmasr", False, f"user: [audio]{PROMPT}assistant: "),
        ("moss_transcribe_diarize", True, "user: [audio]2[audio]assistant: "),
        ("vibevoice_asr", True, "user: [audio]2.20 seconds assistant: "),
        ("voxtral", True, "[audio]"),
        ("voxtral", False, f"[audio]{PROMPT}"),
    ],
)
def test_each_is_asked_in_its_own_way(name: str, transcribes: bool, expected: str) -> None:
    loaded = loaded_once(name)
    (ids,) = prepare(loaded.processor, [recording(2.2)], PROMPT, transcribes)["input_ids"].tolist()
    special = set(loaded.processor.tokenizer.all_special_ids) - {loaded.speech.audio_token_id}
    text = loaded.processor.tokenizer.decode([token for token in ids if token not in special])
    audio = loaded.processor.audio_token
    while audio + audio in text:
        text = text.replace(audio + audio, audio)
    assert text.replace(audio, "[audio]") == expected


def test_the_beginning_of_the_text_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = FAMILIES["gemma4"].processor()
    processor.chat_template = "<bos>" + processor.chat_template
    monkeypatch.setattr(processor.tokenizer, "add_bos_token", True)
    ids = prepare(processor, [recording(1.0)], PROMPT)["input_ids"][0].tolist()
    assert ids.count(processor.tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    ("name", "said", "transcript"),
    [
        ("qwen2_audio", " Hello there.", "Hello there."),
        ("qwen3_asr", "language English<asr_text>Hello there.", "Hello there."),
        ("vibevoice_asr", '[{"Start":0,"End":1,"Speaker":0,"Content":"Hello there."}]', "Hello there."),
        ("moss_transcribe_diarize", "[0.00][S01]Hello[1.10][1.10][S02]there.[2.00]", "Hello there."),
        ("audioflamingo3", 'The spoken content of the audio is "Hello there".', "Hello there"),
    ],
)
def test_a_transcript_is_taken_out_of_what_it_is_wrapped_in(name: str, said: str, transcript: str) -> None:
    processor = FAMILIES[name].processor()
    answer = processor.tokenizer.encode(said, add_special_tokens=False)
    ended = [*answer, processor.tokenizer.eos_token_id]
    assert decode(processor, [ended, answer], transcribes=True) == [transcript, transcript]
    assert decode(processor, [ended], transcribes=False) == [said.strip()]


def _without_template(processor: Any) -> None:
    processor.chat_template = None


def _deaf(processor: Any) -> None:
    processor.chat_template = "{% for message in messages %}{{ message['role'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_template, "Qwen2AudioProcessor has no chat template; use the instruct version"),
        (_deaf, "the chat template of Qwen2AudioProcessor leaves the audio out"),
    ],
)
def test_a_processor_that_cannot_be_asked_is_refused(spoil: Any, reason: str) -> None:
    processor = FAMILIES["qwen2_audio"].processor()
    spoil(processor)
    with pytest.raises(ModelError, match=reason):
        prepare(processor, [recording(1.0)], PROMPT)
