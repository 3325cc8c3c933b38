"""Questions about speech, judged by the share of right answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Self

from tuner.data.utterances import Utterance
from tuner.tasks import words
from tuner.tasks.base import Task
from tuner.tasks.metric import ACCURACY, Metric, Statistics

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LETTER = re.compile(r"\(?([a-zA-Z])(?:[).:]|$)")  # "B", "B.", "(b) Paris": a bare "a" before a word is an article


@dataclass(frozen=True)
class QA(Task):
    """Asked by the utterance's written question where it has one, else by the speech itself; choices are listed.

    An answer is right if it is one of the utterance's answers, after Whisper's English normaliser and without
    articles; where the utterance has choices, if it picks the right one, by its letter or in its words.

    Attributes:
        prompt: what follows speech that asks by itself.
        wording: how a written question is asked; {question} stands for it.
        judge: decides in its place, given the utterance and what was said: for long answers, say a language model.
            There is none unless a task of your own brings it: `TASK = QA(judge=...)`.
    """

    name: str = "qa"
    metric: Metric = ACCURACY
    prompt: str = "Answer the question."
    column: str = "answers"
    wording: str = "{question}"
    judge: Callable[[Utterance, str], bool] | None = None

    def with_prompt(self, prompt: str) -> Self:
        """The prompt is asked behind a written question, or with it in the place of {question}."""
        if "{question}" in prompt:
            return replace(self, wording=prompt, asked_anew=True)
        return replace(self, prompt=prompt, wording="{question}\n" + prompt, asked_anew=True)

    def prompt_for(self, utterance: Utterance) -> str:
        asked = self.prompt
        if utterance.question:
            asked = self.wording.replace("{question}", utterance.question)
        listed = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, utterance.choices, strict=False)]
        return "\n".join([asked, *listed])

    def max_new_tokens(self, seconds: float) -> int:
        """A sentence or two, however long the question."""
        return 64

    def reference(self, utterance: Utterance) -> tuple[str, ...]:
        return utterance.answers

    def score(self, utterance: Utterance, said: str) -> Statistics:
        """1 or 0, and 1 for the question."""
        return float(self._is_right(utterance, said)), 1.0

    def strays(self, own: str, said: str) -> Statistics:
        """Whether it is another answer; an error of one question."""
        other = float(normalized(own) != normalized(said))
        return other, 1.0, other

    def _is_right(self, utterance: Utterance, said: str) -> bool:
        if self.judge is not None:
            return self.judge(utterance, said)
        if not utterance.choices:
            return normalized(said) in map(normalized, utterance.answers)
        picked = pick(utterance.choices, said)
        return picked is not None and picked in [pick(utterance.choices, answer) for answer in utterance.answers]


def normalized(answer: str) -> str:
    """Lower case, without punctuation and articles, numbers in digits."""
    return " ".join(_ARTICLES.sub(" ", words.english(answer)).split())


def pick(choices: tuple[str, ...], said: str) -> int | None:
    """Which of the choices is said: in its very words, by its letter, or else as the only one that is mentioned; None
    where that leaves it open."""
    texts, answer = [normalized(choice) for choice in choices], normalized(said)
    if answer in texts:
        return texts.index(answer)
    letter = _LETTER.match(said.strip())
    if letter and (place := ord(letter[1].lower()) - ord("a")) < len(choices):
        return place
    mentioned = [place for place, text in enumerate(texts) if text and f" {text} " in f" {answer} "]
    return mentioned[0] if len(mentioned) == 1 else None


TASK = QA()
