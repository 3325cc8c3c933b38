"""The reference model: what ships, what its card claims, and that its training passes are the model's own."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioForConditionalGeneration

from tuner import loading
from tuner.data.sources import load
from tuner.evaluate.evaluator import Evaluator
from tuner.policy import Policy
from tuner.reference import batching, checkpoint, grammar, invented, real, speech, train, validation, voices
from tuner.reference.corpus import Clip
from tuner.reference.features import Features
from tuner.reference.network import CHARACTERS, Network
from tuner.tasks import asr, qa, translation

SPEECH = Path(__file__).parents[2] / "shared" / "speech"
needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason=f"needs human speech in {SPEECH}")
needs_engines = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")), reason="needs espeak-ng and flite"
)
RATE = 16_000


@pytest.fixture(scope="module")
def loaded() -> loading.LoadedModel:
    return loading.load("reference", device="cpu")


def noise(*seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(int(length * RATE)) * 3000).astype(np.int16) for length in seconds]


def test_the_checkpoint_is_a_small_genuine_qwen2_audio(loaded: loading.LoadedModel) -> None:
    assert type(loaded.model) is Qwen2AudioForConditionalGeneration
    assert type(loaded.processor).__name__ == "Qwen2AudioProcessor"
    assert loaded.speech.num_layers >= 12
    assert 5e6 <= sum(parameter.numel() for parameter in loaded.model.parameters()) <= 12e6
    assert sum(path.stat().st_size for path in loading.REFERENCE.iterdir()) <= 30e6


def test_the_shipped_speech_is_small_and_its_splits_share_neither_voice_nor_sentence() -> None:
    rows = [json.loads(line) for line in (validation.FOLDER / "manifest.jsonl").read_text().splitlines()]
    assert sum(path.stat().st_size for path in validation.FOLDER.rglob("*.flac")) <= 15e6
    for key in ("voice", "text"):
        seen = {split: {row[key] for row in rows if row["split"] == split} for split in validation.SIZES}
        assert not seen["search"] & seen["selection"]
        assert not seen["test"] & (seen["search"] | seen["selection"])
    assert not {row["voice"] for row in rows} & {*voices.VARIANTS["train"], *voices.FLITE}
    lengths = [row["seconds"] for row in rows]
    assert min(lengths) < 2
    assert max(lengths) > 9
    assert {split: sum(row["split"] == split for row in rows) for split in validation.SIZES} == validation.SIZES


def test_sentences_are_distinct_known_words_and_training_avoids_the_held_out_ones() -> None:
    held_out = validation.held_out_texts()
    texts = [text for _, text in grammar.sentences(500, 1, held_out)]
    assert len(set(texts)) == 500
    assert not held_out & set(texts)
    assert {word for text in texts for word in text.split()} <= {*grammar.WORDS, "and", "then"}
    assert set("".join(grammar.WORDS)) <= set(CHARACTERS)
    assert texts == [text for _, text in grammar.sentences(500, 1, held_out)]


@pytest.mark.slow
def test_the_card_tells_the_truth(loaded: loading.LoadedModel) -> None:
    data = load("reference", split="search")
    identity = Policy.for_model(loaded.model)
    card = (loading.REFERENCE / "README.md").read_text()
    found = re.search(r"\| reference, search \| 100 \| [\d.]+% \| ([\d.]+)% \| ([\d.]+)% \| ([\d.]+) \|", card)
    assert found is not None
    for task, written, unit in zip(
        (asr.TASK, qa.TASK, translation.TASK), found.groups(), (0.15, 1.01, 0.15), strict=True
    ):
        measured = Evaluator(loaded, task, data).evaluate(identity).quality
        assert 100 * measured == pytest.approx(float(written), abs=unit), task.name


def test_training_features_are_the_processors(loaded: loading.LoadedModel) -> None:
    clip = noise(2.0)[0]
    own, frames = Features(loaded.processor.feature_extractor, torch.device("cpu"))([clip], random.Random(0), False)
    theirs = loaded.processor.feature_extractor(
        clip.astype(np.float32) / 32768, sampling_rate=RATE, return_tensors="pt"
    )
    assert frames.tolist() == [200]
    inner = slice(0, 195)  # at the end of the clip the padded window continues with zeros, the clip does not
    torch.testing.assert_close(own[0, :, inner], theirs["input_features"][0, :, inner], atol=2e-3, rtol=0)


def test_training_at_true_length_trains_the_model_that_ships(loaded: loading.LoadedModel) -> None:
    """The encoder's pass in training makes the audio tokens that the model's own, padded pass makes."""
    network = Network(loaded.model, loaded.processor.tokenizer)
    loaded.model.set_attn_implementation("sdpa")
    clips = noise(4.0, 2.5)
    texts = ["<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>\nTranscribe the speech.<|im_end|>\n"] * 2
    audio = [clip.astype(np.float32) / 32768 for clip in clips]
    inputs = loaded.processor(text=texts, audio=audio, sampling_rate=RATE, padding=True, return_tensors="pt")
    mel, mask = inputs["input_features"], inputs["feature_attention_mask"]
    seen: list[torch.Tensor] = []
    hook = loaded.model.model.multi_modal_projector.register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.inference_mode():
        loaded.model(**inputs)
        hook.remove()
        _, tokens, counts = network.encode(
            mel[..., :440], mask.sum(-1)
        )  # longer than the clips, shorter than the window
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(tokens[row, :count], seen[0][row, :count], atol=1e-4, rtol=1e-4)


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    clips = [Clip(text, samples, "noise") for text, samples in zip(["one two", "three"], noise(0.6, 0.5), strict=True)]
    recipe = train.Recipe(easy_steps=1, ctc_steps=2, steps=2)
    device = torch.device("cpu")
    whole = train.Training(recipe, tmp_path / "a", device)
    (tmp_path / "b").mkdir()
    first = train.Training(recipe, tmp_path / "b", device)
    for training in (whole, first):
        training.train_step(clips)
        training.train_step(clips)
    first.save()
    second = train.Training(recipe, tmp_path / "b", device)
    assert second.step == 2
    assert second.train_step(clips) == pytest.approx(whole.train_step(clips), abs=1e-3)


def test_batches_are_the_same_after_a_restart() -> None:
    clips = [Clip(str(number), samples, "") for number, samples in enumerate(noise(*[1.0] * 40))]
    endless = batching.batches(clips, [], None, seconds=20, seed=3, easy=2)
    whole = [[clip.text for clip in next(endless)] for _ in range(6)]
    later = batching.batches(clips, [], None, seconds=20, seed=3, easy=2, start=4)
    assert [[clip.text for clip in next(later)] for _ in range(2)] == whole[4:]


@needs_engines
def test_every_kind_of_voice_speaks_in_its_own_way(tmp_path: Path) -> None:
    more_voices = invented.data_path(tmp_path)
    heard = set()
    for voice in (
        voices.Voice("espeak-ng", "en-us", "", 170, 50),
        voices.Voice("espeak-ng", "en-us+f3", "f3", 170, 50),
        voices.Voice("espeak-ng", f"en-us+{invented.name(0)}", invented.name(0), 170, 50),
        voices.Voice("espeak-ng", f"en-us+{invented.name(1)}", invented.name(1), 170, 50),
        voices.Voice("flite", "slt", "slt", 1.0, 1.0),
    ):
        samples = speech.speak("can i have a coffee", voice, more_voices)
        assert 0.8 * RATE < len(samples) < 3 * RATE
        assert np.abs(samples).max() > 0.05
        heard.add(samples.tobytes())
    assert len(heard) == 5


@needs_engines
@pytest.mark.parametrize("accent", sorted(set(voices.ACCENTS)))
def test_no_held_out_voice_sounds_like_one_of_another_split(accent: str) -> None:
    """espeak-ng ignores what it does not know, and some of its variants are twins."""

    def sound(variant: str) -> bytes:
        return speech.speak("hi", voices.Voice("espeak-ng", f"{accent}+{variant}", variant, 170, 50)).tobytes()

    sounds = {split: {sound(variant) for variant in variants} for split, variants in voices.VARIANTS.items()}
    assert sum(map(len, sounds.values())) == len(set().union(*sounds.values()))
    assert len(sounds["test"]) == len(voices.VARIANTS["test"])


@needs_speech
def test_human_speech_is_split_by_speaker_and_strings_stay_within_one() -> None:
    assert len(real.orders(SPEECH, "dev")) > 60
    digits = real.DigitStrings(SPEECH, "train")
    assert "yweweler" not in digits.speakers
    clip = digits.draw(random.Random(0))
    assert set(clip.text.split()) <= set(grammar.DIGITS)
    assert clip.text == digits.draw(random.Random(0)).text


def test_the_processor_makes_25_tokens_a_second() -> None:
    processor = checkpoint.processor()
    inputs = processor(
        text="<|AUDIO|>", audio=noise(4.0)[0].astype(np.float32), sampling_rate=RATE, return_tensors="pt"
    )
    assert inputs["input_ids"].shape[1] == 100
