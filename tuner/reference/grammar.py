"""The sentences the reference model learns: a written grammar of a few hundred words.

Six kinds of sentence, drawn at random: coffee orders, orders to a voice assistant, numbers and digit strings, names
and places, small talk, and shuffled words, which no language model can guess: they must be listened to.
"""

from __future__ import annotations

import random
from collections.abc import Callable

DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = "january february march april may june july august september october november december".split()
COLOURS = "red green blue yellow white black orange purple pink grey".split()
ROOMS = "kitchen bedroom bathroom hallway garage garden office cellar balcony attic".split()
DEVICES = "light lamp heater fan radio television door window curtain oven camera speaker".split()
NAMES = (
    "anna peter laura david maria john susan michael sarah thomas emma robert julia martin helen oscar nina victor "
    "alice henry clara simon rosa felix"
).split()
CITIES = (
    "london paris berlin madrid rome vienna dublin boston chicago denver seattle lisbon oslo toronto sydney tokyo "
    "cairo geneva munich athens"
).split()
FOODS = (
    "bread butter cheese apples bananas tomatoes potatoes onions rice pasta chicken fish salad soup eggs honey "
    "lemons carrots mushrooms yoghurt"
).split()
PLACES = "station airport museum hospital library school bakery market hotel bridge theatre church".split()
WEATHER = "sunny cloudy windy rainy cold warm foggy stormy".split()
ANIMALS = "dog cat horse bird rabbit elephant monkey tiger mouse sheep".split()
MUSIC = "jazz rock blues opera classical country".split()
UNITS = "seconds minutes hours days weeks".split()

DRINKS = ("coffee|iced coffee|mocha|iced mocha|drip coffee|house coffee|espresso|americano|cappuccino|latte").split("|")
SIZES = "small|medium|large|eight ounce|twelve ounce|sixteen ounce|twenty ounce".split("|")
ROASTS = "light roast|medium roast|dark roast".split("|")
SHOTS = "single shot|double shot|triple shot".split("|")
MILKS = "milk|soy milk|skim milk|whole milk|almond milk|cream".split("|")
SUGARS = "sugar|brown sugar|sweetener".split("|")
AMOUNTS = "||some|lots of|a lot of|a bit of|a little bit of".split("|")
CONNECTIONS = ("and", "then", "and then", "")  # between two sentences
ASK_COFFEE = ("can i have|can i get|may i have|get me|give me|make me|brew|i want|i'd like").split("|")

Draw = random.Random


def _one_of(rng: Draw, makers: list[Callable[[], str]]) -> str:
    return rng.choice(makers)()


def _article(words: str) -> str:
    return ("an " if words.startswith(("eight", "iced", "espresso", "americano")) else "a ") + words


def _coffee(rng: Draw) -> str:
    parts = [rng.choice(options) for options in rng.sample([SIZES, ROASTS, SHOTS], rng.choice([0, 1, 1, 2, 2, 3]))]
    extras = [
        f"{rng.choice(AMOUNTS)} {rng.choice(options)}".strip()
        for options in rng.sample([MILKS, SUGARS], rng.choice([0, 0, 1, 1, 2]))
    ]
    order = f"{rng.choice(ASK_COFFEE)} {_article(' '.join([*parts, rng.choice(DRINKS)]))}"
    return f"{order} with {' and '.join(extras)}" if extras else order


def _under_hundred(rng: Draw) -> str:
    if rng.random() < 0.4:
        return rng.choice(TEENS + DIGITS[1:])
    return rng.choice(TENS) + rng.choice(["", "", *(" " + digit for digit in DIGITS[1:])])


def _number(rng: Draw) -> str:
    words = _under_hundred(rng)
    if rng.random() < 0.4:
        words = f"{rng.choice(DIGITS[1:])} hundred and {words}"
    if rng.random() < 0.2:
        words = f"{_under_hundred(rng)} thousand {words}"
    return words


def _digits(rng: Draw) -> str:
    return " ".join(rng.choices(DIGITS, k=rng.randint(3, 9)))


def _numbers(rng: Draw) -> str:
    return _one_of(
        rng,
        [
            lambda: _digits(rng),
            lambda: _digits(rng),
            lambda: f"the code is {_digits(rng)}",
            lambda: f"call {_digits(rng)}",
            lambda: f"how much is {_under_hundred(rng)} {rng.choice(['plus', 'minus', 'times'])} {_under_hundred(rng)}",
            lambda: f"the answer is {_number(rng)}",
            lambda: f"it costs {_number(rng)} dollars and {_under_hundred(rng)} cents",
            lambda: f"the {rng.choice(ORDINALS)} number is {_number(rng)}",
        ],
    )


def _time(rng: Draw) -> str:
    hour = rng.choice(DIGITS[1:] + TEENS[:3])
    return rng.choice([f"{hour} thirty", f"half past {hour}", f"quarter to {hour}", f"{hour} o'clock"])


def _assistant(rng: Draw) -> str:
    device, room = rng.choice(DEVICES), rng.choice(ROOMS)
    return _one_of(
        rng,
        [
            lambda: f"turn {rng.choice(['on', 'off'])} the {device} in the {room}",
            lambda: (
                f"please {rng.choice(['open', 'close'])} the {rng.choice(['door', 'window', 'curtain'])} of the {room}"
            ),
            lambda: f"set the {room} {device} to {rng.choice(COLOURS)}",
            lambda: f"set a timer for {_under_hundred(rng)} {rng.choice(UNITS)}",
            lambda: f"wake me up at {_time(rng)} on {rng.choice(DAYS)}",
            lambda: f"play some {rng.choice(MUSIC)} music in the {room}",
            lambda: f"add {rng.choice(FOODS)} and {rng.choice(FOODS)} to my shopping list",
            lambda: f"remind me to buy {rng.choice(FOODS)} on {rng.choice(DAYS)}",
            lambda: f"what is the weather in {rng.choice(CITIES)} on {rng.choice(DAYS)}",
            lambda: f"will it be {rng.choice(WEATHER)} in {rng.choice(CITIES)} tomorrow",
            lambda: f"is the {device} in the {room} still on",
        ],
    )


def _date(rng: Draw) -> str:
    return f"{rng.choice(ORDINALS)} of {rng.choice(MONTHS)}"


def _people(rng: Draw) -> str:
    name, other, city = rng.choice(NAMES), rng.choice(NAMES), rng.choice(CITIES)
    return _one_of(
        rng,
        [
            lambda: f"call {name} and {other} in {city}",
            lambda: f"send a message to {name} from {city}",
            lambda: f"my name is {name} and i live in {city}",
            lambda: f"{name} meets {other} at the {rng.choice(PLACES)} at {_time(rng)}",
            lambda: f"book a train from {city} to {rng.choice(CITIES)} on the {_date(rng)}",
            lambda: f"how far is the {rng.choice(PLACES)} from the {rng.choice(PLACES)}",
            lambda: f"{name} was born in {city} in {rng.choice(MONTHS)}",
        ],
    )


def _talk(rng: Draw) -> str:
    name, animal = rng.choice(NAMES), rng.choice(ANIMALS)
    return _one_of(
        rng,
        [
            lambda: f"the {rng.choice(COLOURS)} {animal} is bigger than the {rng.choice(ANIMALS)}",
            lambda: f"{name} has {_under_hundred(rng)} {rng.choice(COLOURS)} {rng.choice(FOODS)}",
            lambda: f"i saw a {animal} near the {rng.choice(PLACES)} on {rng.choice(DAYS)}",
            lambda: f"there is {rng.choice(FOODS)} with {rng.choice(FOODS)} for lunch",
            lambda: f"where did {name} put the {rng.choice(COLOURS)} {rng.choice(DEVICES)}",
            lambda: f"today it is {rng.choice(WEATHER)} and {rng.choice(WEATHER)}",
        ],
    )


def _shuffled(rng: Draw) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 12)))


KINDS: dict[str, tuple[float, Callable[[Draw], str]]] = {
    "coffee": (0.22, _coffee),
    "assistant": (0.18, _assistant),
    "numbers": (0.16, _numbers),
    "people": (0.13, _people),
    "talk": (0.09, _talk),
    "shuffled": (0.22, _shuffled),
}


def _vocabulary() -> tuple[str, ...]:
    """Every word a template can say: enough seeded draws see them all, and the fixed word lists make it certain."""
    rng = random.Random(0)
    words: set[str] = set()
    for kind, (_, make) in KINDS.items():
        if kind != "shuffled":
            for _ in range(4000):
                words.update(make(rng).split())
    return tuple(sorted(words))


WORDS = _vocabulary()


def sentence(rng: Draw) -> tuple[str, str]:
    """One sentence: (kind, text). Text is lower case, without punctuation, numbers as words; one in six is two
    sentences in a row, so that long audio is learnt too."""
    kinds = list(KINDS)
    kind = rng.choices(kinds, weights=[KINDS[k][0] for k in kinds])[0]
    text = KINDS[kind][1](rng)
    if rng.random() < 1 / 6:
        second = rng.choices(kinds, weights=[KINDS[k][0] for k in kinds])[0]
        return (
            f"{kind}+{second}",
            f"{text} {rng.choice(CONNECTIONS)} {KINDS[second][1](rng)}".replace("  ", " "),
        )
    return kind, text


def sentences(count: int, seed: int, avoid: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """`count` distinct sentences, none of them in `avoid`; the same for the same seed."""
    rng = random.Random(seed)
    seen = set(avoid)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        kind, text = sentence(rng)
        if text not in seen:
            seen.add(text)
            found.append((kind, text))
    return found
