"""What the reference model is taught of each clip: to transcribe, to answer questions, to translate."""

from __future__ import annotations

import random

from tuner.reference import questions
from tuner.reference.network import Instruction
from tuner.reference.spanish import translate

TRANSCRIBE, TRANSLATE = "Transcribe the speech.", "Translate to Spanish."
QUESTIONS, HARD = 3, 3  # of each clip: their answers are short, and they are hardest to learn
NAMES = ("transcript", *["question"] * QUESTIONS, *["hard"] * HARD, "translation")
SHARES = (0.8, *[0.5] * (QUESTIONS + HARD), 1.0)  # of the loss; the transcript is learnt first and best


def lessons(text: str, rng: random.Random, count: int = QUESTIONS, hard: int = HARD) -> list[Instruction]:
    """The instructions for a clip in which `text` is said, in the order of `NAMES`, with so many questions."""
    asked = [questions.ask(text, rng) for _ in range(count)] + [questions.ask_hard(text, rng) for _ in range(hard)]
    return [
        Instruction(TRANSCRIBE, text),
        *(Instruction(question.text, question.answer) for question in asked),
        Instruction(TRANSLATE, translate(text)),
    ]
