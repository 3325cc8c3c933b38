"""What the reference model is taught of each clip: to transcribe, to answer questions, to translate."""

from __future__ import annotations

import random

from tuner.reference import questions
from tuner.reference.network import Instruction
from tuner.reference.spanish import translate

TRANSCRIBE, TRANSLATE = "Transcribe the speech.", "Translate to Spanish."
QUESTIONS = 2  # of each clip: their answers are short
NAMES = ("transcript", "question", "question", "translation")
SHARES = (0.8, 0.6, 0.6, 1.0)  # of the loss; the transcript is learnt first and best


def lessons(text: str, rng: random.Random) -> list[Instruction]:
    """The instructions for a clip in which `text` is said, in the order of `NAMES`."""
    asked = [questions.ask(text, rng) for _ in range(QUESTIONS)]
    return [
        Instruction(TRANSCRIBE, text),
        *(Instruction(question.text, question.answer) for question in asked),
        Instruction(TRANSLATE, translate(text)),
    ]
