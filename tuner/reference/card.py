"""The model card: what the reference model is, how it was made and how well it hears, written from the run itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from tuner.reference import grammar, invented, lessons, voices
from tuner.reference.measure import Measure, Slots

if TYPE_CHECKING:
    from tuner.reference.train import Recipe

TEXT = """# Reference speech LLM

A genuine `Qwen2AudioForConditionalGeneration` of {parameters:.2f} M parameters, trained from nothing by
`python -m tuner.reference.train`, so that the project can be tried and tested without a download. It hears up to
{window} s of English in a small world ({words} words) and writes it down, answers a question about it, or says it in
Spanish; it is no use for anything else.

| | |
|---|---|
| encoder | {encoder} |
| decoder | {decoder} |
| audio tokens | 25 a second |
| weights | bfloat16 |
| prompts | `{transcribe}` `{translate}` or a question, such as `Which size?` |

## Data
{hours:.1f} h of speech synthesized by espeak-ng and flite from a written grammar ({kinds}), {train} speakers
({invented} of them invented: random espeak-ng variants) in {accents} accents, with random tempo, vocal tract length,
microphone, room, echo, noise and SpecAugment. {human}
None of the sentences and none of the speakers of the shipped validation splits was heard in training.

The three tasks share the speech. Questions ask for the slots of an order, the one word of a kind ("Which city?"), how
many there are of a kind, which of three words was said, how many digits, and sums of digits. The Spanish follows from
the grammar, sentence by sentence; loose words are translated one by one (`tuner/reference/spanish.py`, `questions.py`).

## Recipe
{recipe}. Muon for matrices, AdamW for the rest; {course} Every clip is read once; a transcript, {questions} answers
and a translation are learnt from that reading. Trained on {device} with torch {torch} and transformers {transformers},
{date}.

## Quality
Greedy decoding in float32. *WER, words* counts plain words; *as tuned* applies Whisper's English normaliser first,
which joins a spoken string of digits into a single word. *Accuracy* is that of the manifest's questions.

| set | utterances | WER, words | WER, as tuned | accuracy | BLEU | chrF |
|---|---|---|---|---|---|---|
{measures}
{understood}"""
TAUGHT = (
    "{easy_steps} CTC steps on short clean clips, then CTC on everything, then encoder and decoder together "
    "(cross-entropy + {ctc_weight} CTC)."
)
TAKEN_OVER = "begun from a checkpoint that transcribed, whose encoder stayed as it was."
UNDERSTOOD = """
Of {n} human coffee orders (`dev`), {each:.1%} of the slots (size, roast, drink) are right, and {every:.1%} of the
orders have all three right.
"""
HUMAN = (
    "Beside it human speech, none of which is shipped: 399 coffee orders (Picovoice speech-to-intent benchmark, "
    "Apache-2.0) and strings put together from 2,000 single digits (Free Spoken Digit Dataset, CC BY-SA 4.0)."
)


def write(
    folder: Path, recipe: Recipe, hours: float, taken_over: bool, measures: Sequence[Measure], slots: Slots | None
) -> None:
    """Writes `README.md` into the checkpoint folder; `slots` are there where human speech was."""
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
            human=HUMAN if slots else "No human speech was used.",
            transcribe=lessons.TRANSCRIBE,
            translate=lessons.TRANSLATE,
            questions=lessons.QUESTIONS + lessons.HARD,
            recipe=", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(recipe).items()),
            course=TAKEN_OVER if taken_over else TAUGHT.format(**asdict(recipe)),
            device="a GPU" if torch.cuda.is_available() else f"a CPU ({torch.get_num_threads()} cores)",
            torch=torch.__version__,
            transformers=transformers.__version__,
            date=time.strftime("%Y-%m-%d"),
            measures="\n".join(map(_row, measures)),
            understood=UNDERSTOOD.format(**asdict(slots)) if slots else "",
        )
    )


def _row(one: Measure) -> str:
    accuracy = "-" if one.accuracy is None else f"{one.accuracy:.1%}"
    scores = ["-" if score is None else f"{100 * score:.1f}" for score in (one.bleu, one.chrf)]
    return f"| {one.name} | {one.n} | {one.words:.1%} | {one.normalized:.1%} | {accuracy} | {' | '.join(scores)} |"
