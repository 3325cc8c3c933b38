"""Coffee orders, read back from their words: size, roast, shots, drink, extras."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tuner.reference import grammar


def any_of(words: Iterable[str]) -> str:
    """A pattern that matches one of the words, the longest that fits."""
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))


_EXTRA = rf"(?:(?:{any_of(filter(None, grammar.AMOUNTS))}) )?(?:{any_of((*grammar.MILKS, *grammar.SUGARS))})"
_QUALITY = any_of((*grammar.SIZES, *grammar.ROASTS, *grammar.SHOTS))
# People leave the article out at times.
ORDER = re.compile(
    rf"(?P<ask>{any_of(grammar.ASK_COFFEE)}) (?:an? )?(?P<qualities>(?:(?:{_QUALITY}) )*)"
    rf"(?P<drink>{any_of(grammar.DRINKS)})(?: with (?P<extras>{_EXTRA}(?: and {_EXTRA})?))?(?= |$)"
)


@dataclass(frozen=True)
class Order:
    """One order; what it does not mention is ""."""

    ask: str
    drink: str
    size: str
    roast: str
    shots: str
    extras: tuple[str, ...]

    @classmethod
    def of(cls, parts: Mapping[str, str | None]) -> Order:
        """From the groups of `ORDER`."""
        qualities = re.findall(_QUALITY, parts["qualities"] or "")

        def said(known: list[str]) -> str:
            return next((one for one in qualities if one in known), "")

        extras = tuple(re.findall(_EXTRA, parts["extras"] or ""))
        return cls(
            parts["ask"] or "",
            parts["drink"] or "",
            said(grammar.SIZES),
            said(grammar.ROASTS),
            said(grammar.SHOTS),
            extras,
        )


def orders_in(text: str) -> list[Order]:
    """All orders in a text."""
    return [Order.of(match.groupdict()) for match in re.finditer(rf"(?<!\S){ORDER.pattern}", text)]
