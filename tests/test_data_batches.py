"""Batches by length, and model inputs through a real processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2AudioProcessor, WhisperFeatureExtractor

from tuner.data.batches import batches, prepare, window_seconds
from tuner.data.utterances import Utterance
from tuner.errors import DataError, ModelError

# As released checkpoints of Qwen2-Audio have it: audio is known by its key alone.
TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message['role'] }} "
    "{% for content in message['content'] %}"
    "{% if 'audio' in content or 'audio_url' in content %}<|audio_bos|><|AUDIO|><|audio_eos|> "
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant{% endif %}"
)
SPECIAL = ["<pad>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|im_start|>", "<|im_end|>"]
WORDS = ["<unk>", "user", "assistant", "Transcribe", "the", "speech."]


@pytest.fixture(scope="module")
def processor() -> Any:
    """A Qwen2-Audio processor that hears 2 s, with a vocabulary of a few words."""
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=16, chunk_length=2),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", extra_special_tokens=SPECIAL[1:]
        ),
        chat_template=TEMPLATE,
    )


def spoken(folder: Path, seconds: float, rate: int = 8_000) -> Utterance:
    path = folder / f"{seconds}.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(int(seconds * rate))), rate)
    return Utterance(path.stem, "x", None, seconds, path)


def test_longest_first_and_nothing_lost() -> None:
    utterances = [
        Utterance(str(index), "x", None, float(seconds), b"") for index, seconds in enumerate([3, 9, 1, 7, 9])
    ]

    assert [[one.id for one in batch] for batch in batches(utterances, 2)] == [["1", "4"], ["3", "0"], ["2"]]
    with pytest.raises(DataError, match="at least 1, got 0"):
        batches(utterances, 0)


def test_inputs_are_padded_on_the_left_and_hold_the_audio_of_each(processor: Any, tmp_path: Path) -> None:
    long, short = spoken(tmp_path, 2.0), spoken(tmp_path, 0.8)
    inputs = prepare(processor, [long, short], "Transcribe the speech.")
    audio_tokens = (inputs["input_ids"] == processor.audio_token_id).sum(-1).tolist()

    assert audio_tokens == [50, 20]  # 25 a second
    assert inputs["attention_mask"].sum(-1).tolist() == [50 + 10, 20 + 10]
    assert inputs["attention_mask"][1, :30].sum() == 0, "padding belongs on the left"
    assert inputs["feature_attention_mask"].sum(-1).tolist() == [200, 80]
    text = processor.tokenizer.decode(inputs["input_ids"][0].tolist())
    assert text.endswith("<|audio_eos|> Transcribe the speech. <|im_end|> <|im_start|> assistant")


def test_each_utterance_gets_in_a_batch_what_it_gets_alone(processor: Any, tmp_path: Path) -> None:
    utterances = [spoken(tmp_path, 2.0), spoken(tmp_path, 0.8)]
    batch = prepare(processor, utterances, "Transcribe the speech.")
    alone = prepare(processor, utterances[1:], "Transcribe the speech.")

    assert batch["input_ids"][1][batch["attention_mask"][1] == 1].tolist() == alone["input_ids"][0].tolist()
    assert batch["input_features"][1].equal(alone["input_features"][0])


def test_audio_that_would_be_cut_is_refused(processor: Any, tmp_path: Path) -> None:
    assert window_seconds(processor) == 2.0
    with pytest.raises(DataError, match=r"2.5: 2.5 s of audio, but the model hears only 2.0 s"):
        prepare(processor, [spoken(tmp_path, 2.5)], "Transcribe the speech.")


def test_a_processor_without_a_template_is_refused(
    processor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "chat_template", None)
    with pytest.raises(ModelError, match="Qwen2AudioProcessor has no chat template"):
        prepare(processor, [spoken(tmp_path, 1.0)], "Transcribe the speech.")
