"""What the reference model is taught of each clip: to transcribe, to answer questions, to translate."""

from __future__ import annotations

import random

from tuner.reference import questions
from tuner.reference.network import Instruction
from tuner.reference.spanish import translate

TRANSCRIBE, TRANSLATE = "Transcribe the speech.", "Translate to Spanish."
QUESTIONS = 5  # of each clip: their answers are short, and they are hardest to learn
NAMES = ("transcript", *["question"] * QUESTIONS, "translation")
SHARES = (0.8, *[0.5] * QUESTIONS, 1.0)  # of the loss; the transcript is learnt first and best


def lessons(text: str, rng: random.Random, count: int = QUESTIONS) -> list[Instruction]:
    """The instructions for a clip in which `text` is said, in the order of `NAMES`, with `count` questions."""
    asked = [questions.ask(text, rng) for _ in range(count)]
    return [
        Instruction(TRANSCRIBE, text),
        *(Instruction(question.text, question.answer) for question in asked),
        Instruction(TRANSLATE, translate(text)),
    ]
