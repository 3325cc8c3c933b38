"""Spanish for everything the grammar can say: each of its sentences has a counterpart, loose words stand one by one.

A text is read from left to right: the longest sentence of the grammar that begins at a word is translated whole, with
Spanish word order and agreement; a word that begins none is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from tuner.reference import grammar
from tuner.reference.orders import ORDER, Order, any_of
from tuner.reference.spanish_words import (
    AMOUNTS,
    ANIMALS,
    ASKS,
    CITIES,
    COLOURS,
    CONNECTIONS,
    DAYS,
    DEVICES,
    DRINKS,
    EXTRAS,
    FOODS,
    HUNDREDS,
    LOOSE,
    MONTHS,
    MUSIC,
    NAMES,
    ONES,
    OPERATIONS,
    ORDINALS,
    PLACES,
    ROASTS,
    ROOMS,
    SHOTS,
    SIZES,
    TEENS,
    TENS,
    TWENTIES,
    UNITS,
    WEATHER,
)

Maker = Callable[..., str]
# One line for each of the grammar's templates. A slot that comes twice has a 2 behind its name; `bare` leaves the
# article out, `one` makes it indefinite, `like device` agrees with another slot.
SENTENCES = (
    ("{digits}", "{digits}"),
    ("the code is {digits}", "el código es {digits}"),
    ("call {digits}", "llama al {digits}"),
    ("how much is {count} {operation} {count2}", "cuánto es {count} {operation} {count2}"),
    ("the answer is {number}", "la respuesta es {number}"),
    ("it costs {number} dollars and {count} cents", "cuesta {number} dólares y {count} centavos"),
    ("the {ordinal} number is {number}", "el {ordinal} número es {number}"),
    ("turn {switch} the {device} in the {room}", "{switch} {device} de {room}"),
    ("please {move} the {leaf} of the {room}", "por favor {move} {leaf} de {room}"),
    ("set the {room} {device} to {colour}", "pon {device} de {room} en {colour}"),
    ("set a timer for {count} {unit}", "pon un temporizador de {count} {unit}"),
    ("wake me up at {time} on {day}", "despiértame el {day} a {time}"),
    ("play some {music} music in the {room}", "pon algo de música {music} en {room}"),
    ("add {food} and {food2} to my shopping list", "añade {food:bare} y {food2:bare} a mi lista de la compra"),
    ("remind me to buy {food} on {day}", "recuérdame comprar {food:bare} el {day}"),
    ("what is the weather in {city} on {day}", "qué tiempo hace en {city} el {day}"),
    ("will it be {weather} in {city} tomorrow", "estará {weather} mañana en {city}"),
    ("is the {device} in the {room} still {state}", "sigue {state:like device} {device} de {room}"),
    ("call {name} and {name2} in {city}", "llama a {name} y a {name2} en {city}"),
    ("send a message to {name} from {city}", "envía un mensaje a {name} desde {city}"),
    ("my name is {name} and i live in {city}", "me llamo {name} y vivo en {city}"),
    ("{name} meets {name2} at the {place} at {time}", "{name} queda con {name2} en {place} a {time}"),
    (
        "book a train from {city} to {city2} on the {ordinal} of {month}",
        "reserva un tren de {city} a {city2} para el {ordinal} día de {month}",
    ),
    ("how far is the {place} from the {place2}", "a qué distancia está {place} de {place2}"),
    ("{name} was born in {city} in {month}", "{name} nació en {city} en {month}"),
    (
        "the {colour} {animal} is bigger than the {animal2}",
        "{animal} {colour:like animal} es más grande que {animal2}",
    ),
    ("{name} has {count} {colour} {food}", "{name} tiene {count} {food:bare} {colour:like food}"),
    ("i saw a {animal} near the {place} on {day}", "el {day} vi {animal:one} cerca de {place}"),
    ("there is {food} with {food2} for lunch", "para almorzar hay {food:bare} con {food2:bare}"),
    ("where did {name} put the {colour} {device}", "dónde puso {name} {device} {colour:like device}"),
    ("today it is {weather} and {weather2}", "hoy está {weather} y {weather2}"),
    ("and then", "y luego"),
)


def translate(text: str) -> str:
    """The Spanish of a text in the grammar's words: lower case, no punctuation.

    Raises:
        KeyError: a word that the grammar does not know.
    """
    said: list[str] = []
    place = 0
    while place < len(text):
        found = [(match.end(), make, match) for pattern, make in _sentences() if (match := pattern.match(text, place))]
        if found:
            end, make, match = max(found, key=lambda one: one[0])
            said.append(make(**match.groupdict()))
        else:
            word = text[place:].split(" ", 1)[0]
            end = place + len(word)
            said.append(_words()[word])
        place = end + 1
    return re.sub(r"\b(a|de) el\b(?! cairo)", lambda match: {"a": "al", "de": "del"}[match[1]], " ".join(said))


@cache
def _words() -> dict[str, str]:
    """Single words; nouns lose their article."""
    nouns = {
        word: noun.split()[-1] for table in (ROOMS, DEVICES, PLACES, ANIMALS, FOODS) for word, noun in table.items()
    }
    plain = (
        ONES | TEENS | TENS | ORDINALS | DAYS | MONTHS | COLOURS | WEATHER | MUSIC | UNITS | CITIES | NAMES | OPERATIONS
    )
    return LOOSE | CONNECTIONS | nouns | plain


def under_hundred(words: str) -> str:
    """`forty two` as `cuarenta y dos`."""
    ten, _, one = words.partition(" ")
    if not one:
        return ONES.get(ten) or TEENS.get(ten) or TENS[ten]
    return TWENTIES[one] if ten == "twenty" else f"{TENS[ten]} y {ONES[one]}"


def number(words: str) -> str:
    """`three hundred and five` as `trescientos cinco`, up to 99,999."""
    thousands, _, rest = words.rpartition(" thousand ")
    hundreds, _, rest = rest.rpartition(" hundred and ")
    parts = [f"{under_hundred(thousands)} mil" if thousands else "", HUNDREDS[hundreds] if hundreds else ""]
    return " ".join(part for part in (*parts, under_hundred(rest)) if part)


def _digits(words: str) -> str:
    return " ".join(ONES[word] for word in words.split())


def _time(words: str) -> str:
    hour = next(word for word in reversed(words.split()) if word in ONES or word in TEENS)
    name = "la una" if hour == "one" else f"las {under_hundred(hour)}"
    if words.startswith("quarter"):
        return f"{name} menos cuarto"
    return f"{name} en punto" if words.endswith("o'clock") else f"{name} y media"


def _agreeing(adjective: str, noun: str) -> str:
    """The adjective in the gender and number of the noun, which has its article."""
    feminine, plural = noun.startswith(("la ", "las ")), noun.startswith(("las ", "los "))
    stem = adjective[:-1] + "a" if feminine and adjective.endswith("o") else adjective
    return stem + ("s" if stem[-1] in "aeo" else "es") if plural else stem


def _bare(noun: str) -> str:
    return noun.partition(" ")[2]


def _one(noun: str) -> str:
    return ("una " if noun.startswith("la ") else "un ") + _bare(noun)


def _order(**parts: str | None) -> str:
    order = Order.of(parts)
    drink = [DRINKS[order.drink], SIZES.get(order.size), SHOTS.get(order.shots), ROASTS.get(order.roast)]
    said = f"{ASKS[order.ask]} un {' '.join(word for word in drink if word)}"
    extras = [_extra(extra) for extra in order.extras]
    return f"{said} con {' y '.join(extras)}" if extras else said


def _extra(words: str) -> str:
    amount = next((one for one in sorted(AMOUNTS, key=len, reverse=True) if words.startswith(one + " ")), None)
    return EXTRAS[words] if amount is None else f"{AMOUNTS[amount]} {EXTRAS[words[len(amount) + 1 :]]}"


_TABLES = {
    "room": ROOMS, "device": DEVICES, "place": PLACES, "animal": ANIMALS, "food": FOODS, "colour": COLOURS, "day": DAYS,
    "month": MONTHS, "weather": WEATHER, "music": MUSIC, "unit": UNITS, "city": CITIES, "name": NAMES,
    "ordinal": ORDINALS, "operation": OPERATIONS, "switch": {"on": "enciende", "off": "apaga"},
    "state": {"on": "encendido"}, "move": {"open": "abre", "close": "cierra"},
    "leaf": {leaf: DEVICES[leaf] for leaf in ("door", "window", "curtain")},
}  # fmt: skip
_HOUR = any_of((*grammar.DIGITS[1:], *grammar.TEENS[:3]))
_ONE = any_of(grammar.DIGITS[1:])
_COUNT = f"(?:{any_of(TENS)})(?: (?:{_ONE}))?|{any_of((*TEENS, *grammar.DIGITS[1:]))}"
_NUMBERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "digits": (f"(?:{any_of(ONES)})(?: (?:{any_of(ONES)})){{2,}}", _digits),
    "count": (_COUNT, under_hundred),
    "number": (f"(?:(?:{_COUNT}) thousand )?(?:(?:{_ONE}) hundred and )?(?:{_COUNT})", number),
    "time": (f"(?:half past|quarter to) (?:{_HOUR})|(?:{_HOUR}) (?:thirty|o'clock)", _time),
}
_SLOTS = _NUMBERS | {slot: (any_of(table), table.__getitem__) for slot, table in _TABLES.items()}


@cache
def _sentences() -> tuple[tuple[re.Pattern[str], Maker], ...]:
    compiled: list[tuple[re.Pattern[str], Maker]] = [(ORDER, _order)]
    for english, spanish in SENTENCES:
        pattern = re.sub(r"\{(\w+?)(2?)\}", lambda slot: f"(?P<{slot[1]}{slot[2]}>{_SLOTS[slot[1]][0]})", english)
        compiled.append((re.compile(rf"{pattern}(?= |$)"), _filled(spanish)))
    return tuple(compiled)


def _filled(template: str) -> Maker:
    def made(**english: str) -> str:
        words = {slot: _SLOTS[slot.removesuffix("2")][1](said) for slot, said in english.items()}

        def fill(slot: re.Match[str]) -> str:
            word, form = words[slot[1]], slot[2] or ""
            if form.startswith("like "):
                return _agreeing(word, words[form.removeprefix("like ")])
            return {"": word, "bare": _bare(word), "one": _one(word)}[form]

        return re.sub(r"\{(\w+)(?::([\w ]+))?\}", fill, template)

    return made
