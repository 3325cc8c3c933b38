"""What the shipped recordings mean: a question with its answer, and the Spanish, for each row of the manifest."""

from __future__ import annotations

import random
from typing import Any

from tuner.reference import questions
from tuner.reference.spanish import translate


def annotated(row: dict[str, Any]) -> dict[str, Any]:
    """The row with `question`, `answer` and `translation`; the same for the same path and text."""
    question = questions.ask(row["text"], random.Random(f"question-{row['path']}"))
    return row | {"question": question.text, "answer": question.answer, "translation": translate(row["text"])}
