"""What counts as a right answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuner.data.utterances import Utterance
from tuner.tasks.qa import TASK

PLACES = ("a dog", "New York", "Paris", "Twenty one")


def asked(*answers: str, choices: tuple[str, ...] = ()) -> Utterance:
    return Utterance("a", None, None, 1.0, b"", answers=answers, choices=choices)


@pytest.mark.parametrize(
    ("utterance", "said", "right"),
    [
        (asked("twenty one"), "21", True),
        (asked("21"), "Twenty-one.", True),
        (asked("espresso"), "The espresso!", True),
        (asked("espresso"), "an espresso please", False),
        (asked("tea", "a cup of tea"), "cup of tea", True),
        (asked("tea"), "", False),
        (asked("Paris", choices=PLACES), "paris", True),
        (asked("Paris", choices=PLACES), "C", True),
        (asked("Paris", choices=PLACES), "(c) Paris", True),
        (asked("C", choices=PLACES), "It is Paris.", True),
        (asked("a dog", choices=PLACES), "a dog", True),
        (asked("New York", choices=PLACES), "A dog", False),
        (asked("New York", choices=PLACES), "Paris or New York", False),
        (asked("Paris", choices=PLACES), "E", False),
        (asked("Paris", choices=PLACES), "", False),
    ],
)
def test_right_answers(utterance: Utterance, said: str, right: bool) -> None:
    assert TASK.score(utterance, said) == (float(right), 1.0)


def test_a_judge_of_ones_own_decides() -> None:
    lenient = replace(TASK, judge=lambda utterance, said: utterance.answers[0] in said)

    assert lenient.score(asked("tea"), "I would say tea, but who knows") == (1.0, 1.0)


@pytest.mark.parametrize(("own", "said", "other"), [("Two.", "2", 0.0), ("tea", "coffee", 1.0), ("", "tea", 1.0)])
def test_agreement_is_giving_the_same_answer(own: str, said: str, other: float) -> None:
    assert TASK.strays(own, said) == (other, 1.0, other)
