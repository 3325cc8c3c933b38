"""Spanish for everything the grammar can say: each of its sentences has a counterpart, loose words stand one by one.

A text is read from left to right: the longest sentence of the grammar that begins at a word is translated whole, with
Spanish word order and agreement; a word that begins none is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from tuner.reference import grammar
from tuner.reference.orders import ORDER, Order, any_of

Maker = Callable[..., str]


def _pairs(english: Iterable[str], spanish: str) -> dict[str, str]:
    return dict(zip(english, spanish.split("|"), strict=True))


ONES = _pairs(grammar.DIGITS, "cero|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve")
TEENS = _pairs(
    grammar.TEENS,
    "diez|once|doce|trece|catorce|quince|dieciséis|diecisiete|dieciocho|diecinueve",
)
TENS = _pairs(grammar.TENS, "veinte|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa")
HUNDREDS = _pairs(
    grammar.DIGITS[1:],
    "ciento|doscientos|trescientos|cuatrocientos|quinientos|seiscientos|setecientos|ochocientos|novecientos",
)
TWENTIES = _pairs(
    grammar.DIGITS[1:],
    "veintiuno|veintidós|veintitrés|veinticuatro|veinticinco|veintiséis|veintisiete|veintiocho|veintinueve",
)
ORDINALS = _pairs(
    grammar.ORDINALS, "primer|segundo|tercer|cuarto|quinto|sexto|séptimo|octavo|noveno|décimo"
)
DAYS = _pairs(grammar.DAYS, "lunes|martes|miércoles|jueves|viernes|sábado|domingo")
MONTHS = _pairs(
    grammar.MONTHS,
    "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre",
)
COLOURS = _pairs(grammar.COLOURS, "rojo|verde|azul|amarillo|blanco|negro|naranja|morado|rosa|gris")
WEATHER = _pairs(grammar.WEATHER, "soleado|nublado|ventoso|lluvioso|frío|cálido|brumoso|tormentoso")
# With their articles, which tell gender and number.
ROOMS = _pairs(
    grammar.ROOMS,
    "la cocina|el dormitorio|el baño|el pasillo|el garaje|el jardín|la oficina|el sótano|el balcón|el desván",
)
DEVICES = _pairs(
    grammar.DEVICES,
    "la luz|la lámpara|el calentador|el ventilador|la radio|el televisor|la puerta|la ventana|la cortina|el horno|"
    "la cámara|el altavoz",
)
PLACES = _pairs(
    grammar.PLACES,
    "la estación|el aeropuerto|el museo|el hospital|la biblioteca|la escuela|la panadería|el mercado|el hotel|"
    "el puente|el teatro|la iglesia",
)
ANIMALS = _pairs(
    grammar.ANIMALS,
    "el perro|el gato|el caballo|el pájaro|el conejo|el elefante|el mono|el tigre|el ratón|la oveja",
)
FOODS = _pairs(
    grammar.FOODS,
    "el pan|la mantequilla|el queso|las manzanas|los plátanos|los tomates|las patatas|las cebollas|el arroz|la pasta|"
    "el pollo|el pescado|la ensalada|la sopa|los huevos|la miel|los limones|las zanahorias|los champiñones|el yogur",
)
MUSIC = _pairs(grammar.MUSIC, "jazz|rock|blues|ópera|clásica|country")
UNITS = _pairs(grammar.UNITS, "segundos|minutos|horas|días|semanas")
CITIES = _pairs(
    grammar.CITIES,
    "londres|parís|berlín|madrid|roma|viena|dublín|boston|chicago|denver|seattle|lisboa|oslo|toronto|sídney|tokio|"
    "el cairo|ginebra|múnich|atenas",
)
NAMES = _pairs(grammar.NAMES, "|".join(grammar.NAMES))
OPERATIONS = _pairs(("plus", "minus", "times"), "más|menos|por")

ASKS = _pairs(
    grammar.ASK_COFFEE, "puedo tener|puedo pedir|me puede dar|tráeme|dame|hazme|prepara|quiero|quisiera"
)
DRINKS = _pairs(
    grammar.DRINKS,
    "café|café helado|moca|moca helado|café filtrado|café de la casa|espresso|americano|capuchino|café con espuma",
)
SIZES = _pairs(
    grammar.SIZES,
    "pequeño|mediano|grande|de ocho onzas|de doce onzas|de dieciséis onzas|de veinte onzas",
)
ROASTS = _pairs(grammar.ROASTS, "de tueste claro|de tueste medio|de tueste oscuro")
SHOTS = _pairs(grammar.SHOTS, "sencillo|doble|triple")
EXTRAS = _pairs(
    (*grammar.MILKS, *grammar.SUGARS),
    "leche|leche de soja|leche desnatada|leche entera|leche de almendra|nata|azúcar|azúcar moreno|edulcorante",
)
AMOUNTS = _pairs(
    ("some", "lots of", "a lot of", "a bit of", "a little bit of"),
    "algo de|montones de|mucho de|un poco de|un poquito de",
)
CONNECTIONS = _pairs(("and then", "then", "and"), "y luego|luego|y")
# What stands in no list above; of a word with several senses the one it has in most sentences.
LOOSE = dict(
    pair.split(":")
    for pair in (
        "a:un add:añade almond:almendra an:un answer:respuesta at:a be:estar bigger:mayor bit:poco book:reserva "
        "born:nacido brew:prepara buy:comprar call:llama can:puedo cents:centavos classical:clásica close:cierra "
        "code:código coffee:café costs:cuesta cream:nata dark:oscuro did:hizo dollars:dólares double:doble drip:filtrado "
        "eighth:octavo espresso:espresso americano:americano cappuccino:capuchino mocha:moca far:lejos for:para "
        "from:desde get:consigue give:da half:media has:tiene have:tener house:casa how:cómo hundred:cien i:yo "
        "i'd:quisiera iced:helado in:en is:es it:ello large:grande latte:espumoso light:claro like:gustar list:lista "
        "little:pequeño live:vivo lot:montón lots:montones lunch:almuerzo make:haz me:me medium:mediano meets:encuentra "
        "message:mensaje milk:leche much:mucho music:música my:mi name:nombre near:cerca number:número o'clock:punto "
        "of:de off:apagado on:encendido open:abre ounce:onza past:pasado play:pon please:favor put:puso quarter:cuarto "
        "remind:recuerda roast:tueste saw:vi send:envía set:pon shopping:compra shot:chupito single:sencillo skim:desnatada "
        "small:pequeño some:algo soy:soja still:todavía sugar:azúcar brown:moreno sweetener:edulcorante than:que the:el "
        "there:allí thousand:mil timer:temporizador to:a today:hoy tomorrow:mañana train:tren triple:triple turn:gira "
        "up:arriba wake:despierta want:quiero was:fue weather:tiempo what:qué where:dónde whole:entera will:será with:con"
    ).split()
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
    nouns = {word: noun.split()[-1] for table in (ROOMS, DEVICES, PLACES, ANIMALS, FOODS) for word, noun in table.items()}
    plain = ONES | TEENS | TENS | ORDINALS | DAYS | MONTHS | COLOURS | WEATHER | MUSIC | UNITS | CITIES | NAMES | OPERATIONS
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


_SLOTS = {
    "room": any_of(ROOMS),
    "device": any_of(DEVICES),
    "leaf": any_of(("door", "window", "curtain")),
    "place": any_of(PLACES),
    "animal": any_of(ANIMALS),
    "food": any_of(FOODS),
    "colour": any_of(COLOURS),
    "day": any_of(DAYS),
    "month": any_of(MONTHS),
    "weather": any_of(WEATHER),
    "music": any_of(MUSIC),
    "unit": any_of(UNITS),
    "city": any_of(CITIES),
    "name": any_of(NAMES),
    "ordinal": any_of(ORDINALS),
    "operation": any_of(OPERATIONS),
    "switch": "on|off",
    "move": "open|close",
    "digits": f"(?:{any_of(ONES)})(?: (?:{any_of(ONES)})){{2,}}",
}
_UNDER = f"(?:{any_of(TENS)})(?: (?:{any_of(grammar.DIGITS[1:])}))?|{any_of((*TEENS, *grammar.DIGITS[1:]))}"
_SLOTS |= {
    "count": _UNDER,
    "number": f"(?:(?:{_UNDER}) thousand )?(?:(?:{any_of(grammar.DIGITS[1:])}) hundred and )?(?:{_UNDER})",
    "time": (
        f"(?:half past|quarter to) (?:{any_of((*grammar.DIGITS[1:], *grammar.TEENS[:3]))})|"
        f"(?:{any_of((*grammar.DIGITS[1:], *grammar.TEENS[:3]))}) (?:thirty|o'clock)"
    ),
}
_SPOKEN: dict[str, Callable[[str], str]] = {
    **{
        slot: table.__getitem__
        for slot, table in {
            "room": ROOMS, "device": DEVICES, "leaf": DEVICES, "place": PLACES, "animal": ANIMALS, "food": FOODS,
            "colour": COLOURS, "day": DAYS, "month": MONTHS, "weather": WEATHER, "music": MUSIC, "unit": UNITS,
            "city": CITIES, "name": NAMES, "ordinal": ORDINALS, "operation": OPERATIONS,
            "switch": {"on": "enciende", "off": "apaga"}, "move": {"open": "abre", "close": "cierra"},
        }.items()
    },
    "digits": _digits,
    "count": under_hundred,
    "number": number,
    "time": _time,
}  # fmt: skip

# One line for each of the grammar's templates; a slot that comes twice has a 2 behind its name.
_SENTENCES: tuple[tuple[str, Maker], ...] = (
    ("{digits}", lambda digits: digits),
    ("the code is {digits}", lambda digits: f"el código es {digits}"),
    ("call {digits}", lambda digits: f"llama al {digits}"),
    ("how much is {count} {operation} {count2}", lambda count, operation, count2: f"cuánto es {count} {operation} {count2}"),
    ("the answer is {number}", lambda number: f"la respuesta es {number}"),
    ("it costs {number} dollars and {count} cents", lambda number, count: f"cuesta {number} dólares y {count} centavos"),
    ("the {ordinal} number is {number}", lambda ordinal, number: f"el {ordinal} número es {number}"),
    ("turn {switch} the {device} in the {room}", lambda switch, device, room: f"{switch} {device} de {room}"),
    ("please {move} the {leaf} of the {room}", lambda move, leaf, room: f"por favor {move} {leaf} de {room}"),
    (
        "set the {room} {device} to {colour}",
        lambda room, device, colour: f"pon {device} de {room} en {colour}",
    ),
    ("set a timer for {count} {unit}", lambda count, unit: f"pon un temporizador de {count} {unit}"),
    ("wake me up at {time} on {day}", lambda time, day: f"despiértame el {day} a {time}"),
    ("play some {music} music in the {room}", lambda music, room: f"pon algo de música {music} en {room}"),
    ("add {food} and {food2} to my shopping list", lambda food, food2: f"añade {_bare(food)} y {_bare(food2)} a mi lista de la compra"),
    ("remind me to buy {food} on {day}", lambda food, day: f"recuérdame comprar {_bare(food)} el {day}"),
    ("what is the weather in {city} on {day}", lambda city, day: f"qué tiempo hace en {city} el {day}"),
    ("will it be {weather} in {city} tomorrow", lambda weather, city: f"estará {weather} mañana en {city}"),
    ("is the {device} in the {room} still on", lambda device, room: f"sigue {_agreeing('encendido', device)} {device} de {room}"),
    ("call {name} and {name2} in {city}", lambda name, name2, city: f"llama a {name} y a {name2} en {city}"),
    ("send a message to {name} from {city}", lambda name, city: f"envía un mensaje a {name} desde {city}"),
    ("my name is {name} and i live in {city}", lambda name, city: f"me llamo {name} y vivo en {city}"),
    ("{name} meets {name2} at the {place} at {time}", lambda name, name2, place, time: f"{name} queda con {name2} en {place} a {time}"),
    (
        "book a train from {city} to {city2} on the {ordinal} of {month}",
        lambda city, city2, ordinal, month: f"reserva un tren de {city} a {city2} para el {ordinal} día de {month}",
    ),
    ("how far is the {place} from the {place2}", lambda place, place2: f"a qué distancia está {place} de {place2}"),
    ("{name} was born in {city} in {month}", lambda name, city, month: f"{name} nació en {city} en {month}"),
    (
        "the {colour} {animal} is bigger than the {animal2}",
        lambda colour, animal, animal2: f"{animal} {_agreeing(colour, animal)} es más grande que {animal2}",
    ),
    (
        "{name} has {count} {colour} {food}",
        lambda name, count, colour, food: f"{name} tiene {count} {_bare(food)} {_agreeing(colour, food)}",
    ),
    ("i saw a {animal} near the {place} on {day}", lambda animal, place, day: f"el {day} vi {_one(animal)} cerca de {place}"),
    ("there is {food} with {food2} for lunch", lambda food, food2: f"para almorzar hay {_bare(food)} con {_bare(food2)}"),
    (
        "where did {name} put the {colour} {device}",
        lambda name, colour, device: f"dónde puso {name} {device} {_agreeing(colour, device)}",
    ),
    ("today it is {weather} and {weather2}", lambda weather, weather2: f"hoy está {weather} y {weather2}"),
    ("and then", lambda: CONNECTIONS["and then"]),
)  # fmt: skip


@cache
def _sentences() -> tuple[tuple[re.Pattern[str], Maker], ...]:
    compiled: list[tuple[re.Pattern[str], Maker]] = [(ORDER, _order)]
    for template, make in _SENTENCES:
        pattern = re.sub(r"\{(\w+?)(2?)\}", lambda slot: f"(?P<{slot[1]}{slot[2]}>{_SLOTS[slot[1]]})", template)
        compiled.append((re.compile(rf"{pattern}(?= |$)"), _with_spanish_slots(make)))
    return tuple(compiled)


def _with_spanish_slots(make: Maker) -> Maker:
    def made(**english: str) -> str:
        return make(**{slot: _SPOKEN[slot.removesuffix("2")](words) for slot, words in english.items()})

    return made
