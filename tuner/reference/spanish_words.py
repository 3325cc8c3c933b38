"""The Spanish of the grammar's words; nouns with their articles, which tell gender and number."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.reference import grammar


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
ORDINALS = _pairs(grammar.ORDINALS, "primer|segundo|tercer|cuarto|quinto|sexto|séptimo|octavo|noveno|décimo")
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

ASKS = _pairs(grammar.ASK_COFFEE, "puedo tener|puedo pedir|me puede dar|tráeme|dame|hazme|prepara|quiero|quisiera")
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
        "a:un add:añade almond:almendra an:un answer:respuesta at:a be:estar bigger:mayor bit:poco "
        "book:reserva born:nacido brew:prepara buy:comprar call:llama can:puedo cents:centavos "
        "classical:clásica close:cierra code:código coffee:café costs:cuesta cream:nata dark:oscuro did:hizo "
        "dollars:dólares double:doble drip:filtrado eighth:octavo espresso:espresso americano:americano "
        "cappuccino:capuchino mocha:moca far:lejos for:para from:desde get:consigue give:da half:media "
        "has:tiene have:tener house:casa how:cómo hundred:cien i:yo i'd:quisiera iced:helado in:en is:es "
        "it:ello large:grande latte:espumoso light:claro like:gustar list:lista little:pequeño live:vivo "
        "lot:montón lots:montones lunch:almuerzo make:haz me:me medium:mediano meets:encuentra "
        "message:mensaje milk:leche much:mucho music:música my:mi name:nombre near:cerca number:número "
        "o'clock:punto of:de off:apagado on:encendido open:abre ounce:onza past:pasado play:pon please:favor "
        "put:puso quarter:cuarto remind:recuerda roast:tueste saw:vi send:envía set:pon shopping:compra "
        "shot:chupito single:sencillo skim:desnatada small:pequeño some:algo soy:soja still:todavía "
        "sugar:azúcar brown:moreno sweetener:edulcorante than:que the:el there:allí thousand:mil "
        "timer:temporizador to:a today:hoy tomorrow:mañana train:tren triple:triple turn:gira up:arriba "
        "wake:despierta want:quiero was:fue weather:tiempo what:qué where:dónde whole:entera will:será "
        "with:con"
    ).split()
)
