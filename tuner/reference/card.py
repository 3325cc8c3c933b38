"""The model card: what the reference model is, how it was made and how well it hears, written from the run itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from tuner.reference import grammar, invented, voices
from tuner.reference.measure import Measure

if TYPE_CHECKING:
    from tuner.reference.train import Recipe

TEXT = """# Reference speech LLM

A genuine `Qwen2AudioForConditionalGeneration` of {parameters:.2f} M parameters, trained from nothing by
`python -m tuner.reference.train`, so that the project can be tried and tested without a download. It hears up to
{window} s of English in a small world ({words} words) and writes it down; it is no use for anything else.

| | |
|---|---|
| encoder | {encoder} |
| decoder | {decoder} |
| audio tokens | 25 a second |
| weights | bfloat16 |
| prompt | `Transcribe the speech.` |

## Data
{hours:.1f} h of speech synthesized by espeak-ng and flite from a written grammar ({kinds}), {train} speakers
({invented} of them invented: random espeak-ng variants) in {accents} accents, with random tempo, vocal tract length,
microphone, room, echo, noise and SpecAugment. {human}
None of the sentences and none of the speakers of the shipped validation splits was heard in training.

## Recipe
{recipe}. Muon for matrices, AdamW for the rest; {easy_steps} CTC steps on short clean clips, then CTC on everything,
then encoder and decoder together (cross-entropy + {ctc_weight} CTC). Trained on {device} with torch {torch} and
transformers {transformers}, {date}.

## Word error rate
Greedy decoding in float32. *Words* counts plain words; *as tuned* applies Whisper's English normaliser first, which
joins a spoken string of digits into a single word.

| set | utterances | WER, words | WER, as tuned |
|---|---|---|---|
{measures}
"""
HUMAN = (
    "Beside it human speech, none of which is shipped: 399 coffee orders (Picovoice speech-to-intent benchmark, "
    "Apache-2.0) and strings put together from 2,000 single digits (Free Spoken Digit Dataset, CC BY-SA 4.0)."
)


def write(folder: Path, recipe: Recipe, hours: float, human: bool, measures: Sequence[Measure]) -> None:
    """Writes `README.md` into the checkpoint folder."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    audio, text = config.audio_config, config.text_config
    (folder / "README.md").write_text(
        TEXT.format(
            parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
            window=audio.max_source_positions // 50,
            words=len(grammar.WORDS),
            encoder=f"{audio.encoder_layers} layers of {audio.d_model}, {audio.num_mel_bins} mel bins",
            decoder=f"{text.num_hidden_layers} layers of {text.hidden_size}, {text.num_attention_heads} heads over "
            f"{text.num_key_value_heads} key-value heads, {text.vocab_size} token types",
            hours=hours,
            kinds=", ".join(grammar.KINDS),
            train=len(voices.VARIANTS["train"]) + len(voices.FLITE) + invented.COUNT,
            invented=invented.COUNT,
            accents=len(set(voices.ACCENTS)),
            human=HUMAN if human else "No human speech was used.",
            recipe=", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(recipe).items()),
            easy_steps=recipe.easy_steps,
            ctc_weight=recipe.ctc_weight,
            device="a GPU" if torch.cuda.is_available() else f"a CPU ({torch.get_num_threads()} cores)",
            torch=torch.__version__,
            transformers=transformers.__version__,
            date=time.strftime("%Y-%m-%d"),
            measures="\n".join(
                f"| {one.name} | {one.n} | {one.words:.1%} | {one.normalized:.1%} |" for one in measures
            ),
        )
    )
