"""What the reference model is taught: Spanish and answers that follow from the words, and one reading for all."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from tuner import loading
from tuner.reference import annotate, checkpoint, grammar, lessons, questions, spanish, validation
from tuner.reference.network import Instruction, Network
from tuner.reference.orders import orders_in

SPANISH = [
    ("turn off the lamp in the kitchen", "apaga la lámpara de la cocina"),
    ("turn on the radio in the cellar", "enciende la radio del sótano"),
    (
        "i want a small dark roast latte with some cream",
        "quiero un café con espuma pequeño de tueste oscuro con algo de nata",
    ),
    ("get me large latte", "tráeme un café con espuma grande"),
    ("the answer is forty two thousand three hundred and five", "la respuesta es cuarenta y dos mil trescientos cinco"),
    ("anna meets peter at the station at quarter to one", "anna queda con peter en la estación a la una menos cuarto"),
    ("the yellow sheep is bigger than the mouse", "la oveja amarilla es más grande que el ratón"),
    ("felix has twenty one blue carrots", "felix tiene veintiuno zanahorias azules"),
    ("my name is anna and i live in cairo", "me llamo anna y vivo en el cairo"),
    ("send a message to anna from london", "envía un mensaje a anna desde londres"),
    ("tiger monday want and then call four nine two", "tigre lunes quiero y luego llama al cuatro nueve dos"),
]


@pytest.mark.parametrize(("english", "expected"), SPANISH)
def test_every_sentence_has_its_spanish(english: str, expected: str) -> None:
    assert spanish.translate(english) == expected


def test_whatever_the_grammar_says_can_be_translated_and_asked_about() -> None:
    rng = random.Random(1)
    for kind, text in grammar.sentences(2000, seed=11):
        said = spanish.translate(text).split()
        assert said, (kind, text)
        question = questions.ask(text, rng)
        assert question.text.partition("?")[1]
        assert question.answer


def test_no_sentence_of_the_grammar_was_overlooked() -> None:
    rng = random.Random(2)
    templates = [make for kind, (_, make) in grammar.KINDS.items() if kind != "shuffled"]
    said = {make(rng) for make in templates for _ in range(300)}
    assert {text for text in said if not any(pattern.fullmatch(text) for pattern, _ in spanish._sentences())} == set()


def test_numbers_agree_with_counting() -> None:
    assert len({spanish.under_hundred(words) for words in all_under_hundred()}) == 99
    assert spanish.number("nine hundred and ninety nine") == "novecientos noventa y nueve"


def all_under_hundred() -> list[str]:
    ones = grammar.DIGITS[1:]
    return [*ones, *grammar.TEENS, *grammar.TENS, *(f"{ten} {one}" for ten in grammar.TENS for one in ones)]


ORDER = "give me a twelve ounce double shot espresso with lots of cream and sugar"


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        (ORDER, "Which size?", "twelve ounce"),
        (ORDER, "Which roast?", "none"),
        (ORDER, "Which drink?", "espresso"),
        (ORDER, "How many shots?", "two"),
        (ORDER, "How many extras?", "two"),
        ("anna was born in paris in june", "Which city?", "paris"),
        ("anna was born in paris in june", "How many months?", "one"),
        ("may i have a light roast mocha", "How many months?", None),
        ("may i have a light roast mocha", "How many devices?", None),
        ("call nine two five three", "How many digits?", "four"),
        ("call nine two five three", "The sum of the first two digits?", "eleven"),
        ("call nine two five nine", "The last digit plus one?", "ten"),
        ("the red dog is bigger than the cat", "How many animals?", "two"),
        ("the red dog is bigger than the cat", "Which animal?", None),
    ],
)
def test_answers_follow_from_the_words(text: str, question: str, answer: str | None) -> None:
    """None: that is never asked of such a text."""
    asked = [questions.ask(text, random.Random(seed)) for seed in range(400)]
    assert {one.answer for one in asked if one.text == question} == ({answer} if answer else set())


def test_a_choice_holds_one_word_that_was_said() -> None:
    text = "send a message to emma from london"
    for seed in range(60):
        question = questions.ask(text, random.Random(seed))
        if question.text.startswith("Which of these? "):
            choices = question.text.removeprefix("Which of these? ").split(", ")
            assert [choice for choice in choices if choice in text.split()] == [question.answer]


def test_orders_are_read_back_from_their_words() -> None:
    order = orders_in(f"hello {ORDER} and then {ORDER}")
    assert len(order) == 2
    assert order[0].extras == ("lots of cream", "sugar")
    assert questions.slot("nothing was ordered", "size") is None


def test_the_manifest_says_what_its_texts_mean() -> None:
    rows = [json.loads(line) for line in (validation.FOLDER / "manifest.jsonl").read_text().splitlines()]
    plain = [{key: row[key] for key in row if key not in ("question", "answer", "translation")} for row in rows]
    assert [annotate.annotated(row) for row in plain] == rows


def test_instructions_that_share_one_reading_are_learnt_as_if_alone() -> None:
    words = checkpoint.tokenizer()
    network = Network(checkpoint.untrained(words, seed=0), words)
    rng = random.Random(0)
    told = [lessons.lessons(text, rng) for text in ("call nine two five", "the red dog is bigger than the cat")]
    mel = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 80, 160)).astype(np.float32))
    with torch.no_grad():
        _, audio, tokens = network.encode(mel, torch.tensor([160, 120]))
        together = network.answer_losses(audio, tokens, told)
        alone = [
            network.answer_losses(audio, tokens, [[one[number]] for one in told]) for number in range(len(told[0]))
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_another_tokenizer_takes_over_the_weights_of_a_checkpoint() -> None:
    """Known words mean what they meant; so the transcript is as likely as before."""
    before = loading.load("reference", device="cpu", dtype="float32")
    words = checkpoint.tokenizer()
    after = checkpoint.taken_over(loading.REFERENCE, words, seed=0)
    mel = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 80, 160)).astype(np.float32))
    told = [[Instruction(lessons.TRANSCRIBE, "turn on the light")]]
    nats = []
    for network in (Network(before.model, before.processor.tokenizer), Network(after, words)):
        with torch.no_grad():
            _, audio, tokens = network.encode(mel, torch.tensor([160]))
            embeddings = network.model.get_input_embeddings()(torch.tensor([network._encoded("turn on the light")]))
        nats.append((audio, embeddings))
        assert network.answer_losses(audio, tokens, told).isfinite().all()
    torch.testing.assert_close(nats[0], nats[1])
