"""Questions whose answer must be heard and thought over once: slots of an order, kinds of words, counts, sums."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from tuner.reference import grammar
from tuner.reference.orders import orders_in

NONE = "none"
KINDS = {
    "city": ("cities", grammar.CITIES),
    "name": ("names", grammar.NAMES),
    "food": ("foods", grammar.FOODS),
    "colour": ("colours", grammar.COLOURS),
    "animal": ("animals", grammar.ANIMALS),
    "day": ("days", grammar.DAYS),
    "month": ("months", grammar.MONTHS),
    "room": ("rooms", grammar.ROOMS),
    "place": ("places", grammar.PLACES),
    "device": ("devices", grammar.DEVICES),
}
COUNTS = [*grammar.DIGITS, *grammar.TEENS]
SLOTS = ("size", "roast", "drink")
# Where these stand, `may` is no month and `light` is no device.
_OTHER_SENSES = re.compile("may i have|light roast")
_RUN = re.compile(rf"(?<!\S)(?:(?:{'|'.join(grammar.DIGITS)})(?: |$)){{3,}}")


@dataclass(frozen=True)
class Question:
    """A question about a recording, as it is put to the model, and its answer."""

    text: str
    answer: str


Family = Callable[[str, random.Random], Question | None]


def ask(text: str, rng: random.Random) -> Question:
    """One of the questions that the words of `text` allow, each family as likely as the others."""
    return _first([_slot, _which, _count, _choice, _digits, _sum], text, rng)


def ask_hard(text: str, rng: random.Random) -> Question:
    """As `ask`, of what is hardest to learn where the words allow it: how many there are, and which of three it was."""
    return _first([_count, _digits, _sum, _choice], text, rng)


def slot(text: str, name: str) -> Question | None:
    """The question for a slot of the order in `text` (size, roast, drink); None where there is not just one order."""
    orders = orders_in(text)
    return Question(f"Which {name}?", getattr(orders[0], name) or NONE) if len(orders) == 1 else None


def _first(families: list[Family], text: str, rng: random.Random) -> Question:
    """The question of the first family, in an order drawn by lot, that the words allow."""
    rng.shuffle(families)
    for family in families:
        question = family(text, rng)
        if question is not None:
            return question
    return _nothing(rng)


def _slot(text: str, rng: random.Random) -> Question | None:
    orders = orders_in(text)
    if len(orders) != 1:
        return None
    name = rng.choice((*SLOTS, "shots", "extras"))
    if name == "shots":
        return Question("How many shots?", grammar.DIGITS[["", *grammar.SHOTS].index(orders[0].shots)])
    if name == "extras":
        return Question("How many extras?", grammar.DIGITS[len(orders[0].extras)])
    return slot(text, name)


def _which(text: str, rng: random.Random) -> Question | None:
    found = {kind: _of_kind(text, kind) for kind in KINDS}
    single = [kind for kind, words in found.items() if len(set(words)) == 1]
    if not single:
        return None
    if rng.random() < 0.1 and (none := _nothing(rng, found)):
        return none
    kind = rng.choice(single)
    return Question(f"Which {kind}?", found[kind][0])


def _count(text: str, rng: random.Random) -> Question | None:
    counts = {kind: len(_of_kind(text, kind)) for kind in KINDS}
    some = [kind for kind, count in counts.items() if count]
    if not some or max(counts.values()) >= len(COUNTS):
        return None
    kind = rng.choice(some) if rng.random() < 0.9 else rng.choice(list(KINDS))
    return Question(f"How many {KINDS[kind][0]}?", COUNTS[counts[kind]])


def _choice(text: str, rng: random.Random) -> Question | None:
    heard = set(text.split())
    said = [(word, kind) for kind in KINDS for word in _of_kind(text, kind)]
    if not said:
        return None
    word, kind = rng.choice(said)
    others = [one for one in KINDS[kind][1] if one not in heard]
    if len(others) < 2:
        return None
    choices = [word, *rng.sample(others, 2)]
    rng.shuffle(choices)
    return Question(f"Which of these? {', '.join(choices)}", word)


def _digits(text: str, rng: random.Random) -> Question | None:
    digits = _run(text)
    return Question("How many digits?", COUNTS[len(digits)]) if 0 < len(digits) < len(COUNTS) else None


def _sum(text: str, rng: random.Random) -> Question | None:
    digits = _run(text)
    if not digits:
        return None
    first, second, *_, last = (grammar.DIGITS.index(digit) for digit in digits)
    if rng.random() < 0.5:
        return Question("The last digit plus one?", COUNTS[last + 1])
    return Question("The sum of the first two digits?", COUNTS[first + second])


def _nothing(rng: random.Random, found: dict[str, list[str]] | None = None) -> Question:
    """A question for what is not there."""
    kinds = [kind for kind in KINDS if not (found or {}).get(kind)]
    return Question(f"Which {rng.choice(kinds)}?", NONE)


def _of_kind(text: str, kind: str) -> list[str]:
    words = KINDS[kind][1]
    return [word for word in _OTHER_SENSES.sub("", text).split() if word in words]


def _run(text: str) -> list[str]:
    """The digits of the only string of at least three in the text; empty where there is none or several."""
    runs = _RUN.findall(text)
    return runs[0].split() if len(runs) == 1 else []
