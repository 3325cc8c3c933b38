"""Batches by length, and model inputs from recordings of any rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conformance.families import FAMILIES
from tuner.data.batches import batches, prepare
from tuner.data.utterances import Utterance
from tuner.errors import DataError


def test_longest_first_and_nothing_lost() -> None:
    utterances = [
        Utterance(str(index), "x", None, float(seconds), b"") for index, seconds in enumerate([3, 9, 1, 7, 9])
    ]

    assert [[one.id for one in batch] for batch in batches(utterances, 2)] == [["1", "4"], ["3", "0"], ["2"]]
    with pytest.raises(DataError, match="at least 1, got 0"):
        batches(utterances, 0)


def spoken(folder: Path, seconds: float, rate: int) -> Utterance:
    path = folder / f"{seconds}.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(int(seconds * rate))), rate)
    return Utterance(path.stem, "x", None, seconds, path)


@pytest.mark.parametrize(
    ("family", "tokens"),
    [
        ("qwen2_audio", [50, 20]),  # 25 a second
        ("vibevoice_asr", [15, 6]),  # 7.5 a second, from 24 kHz
    ],
)
def test_inputs_hold_the_audio_at_the_rate_of_the_processor(family: str, tokens: list[int], tmp_path: Path) -> None:
    processor = FAMILIES[family].processor()
    inputs = prepare(processor, [spoken(tmp_path, 2.0, 8_000), spoken(tmp_path, 0.8, 48_000)], "Transcribe the speech.")

    assert (inputs["input_ids"] == processor.audio_token_id).sum(-1).tolist() == tokens
    lengths = inputs["attention_mask"].sum(-1)
    assert lengths[0] - lengths[1] == tokens[0] - tokens[1], "the prompt around the audio is the same"


def test_a_batch_may_hold_another_prompt_for_each_utterance(tmp_path: Path) -> None:
    processor = FAMILIES["qwen2_audio"].processor()
    both = [spoken(tmp_path, 1.0, 16_000), spoken(tmp_path, 2.0, 16_000)]
    prompts = ["Which drink?", "Transcribe the speech."]
    inputs = prepare(processor, both, prompts)

    for one, prompt, ids, real in zip(both, prompts, inputs["input_ids"], inputs["attention_mask"].bool(), strict=True):
        assert ids[real].tolist() == prepare(processor, [one], prompt)["input_ids"][0].tolist()


def test_audio_that_would_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"4.5: 4.5 s of audio, but the model hears only 4.0 s"):
        prepare(FAMILIES["qwen2_audio"].processor(), [spoken(tmp_path, 4.5, 8_000)], "Transcribe the speech.")
