"""Which utterances are for searching and which for choosing, and which must not be touched."""

from __future__ import annotations

import hashlib
import logging
import re

from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import DataError

log = logging.getLogger(__name__)

_UNEVEN = 0.2
_TEST = re.compile(r"(?<![a-z])(test|eval)")


def divide(data: UtteranceSet, fraction: float = 0.5, seed: int = 0) -> tuple[UtteranceSet, UtteranceSet]:
    """Divide a split into a part to search on and a part to choose on, with no speaker in both.

    Each speaker (or utterance, where no speaker is known) falls on a side by a hash of its name, so adding utterances
    moves no other; with few speakers the parts may be far from ``fraction`` of the utterances. Only where all would
    fall on one side does the name nearest to the border change it. A set of one speaker is divided by utterances.

    Args:
        data: the split to divide.
        fraction: the expected share of the search part, between 0 and 1.
        seed: another seed, another division.

    Returns:
        The search part and the selection part, in the order of ``data``.

    Raises:
        DataError: fewer than two utterances, or a fraction out of range.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the search part must be a fraction between 0 and 1, got {fraction}")
    if len(data) < 2:
        raise DataError(
            f"{data.name}, split {data.split}: {len(data)} utterance(s) cannot be divided into a search and a "
            "selection part; name two splits outright (--search-split, --selection-split) or give more data"
        )
    groups = {utterance.id: _group(utterance) for utterance in data.utterances}
    if len(set(groups.values())) == 1:
        log.warning("%s, %s: one speaker only, so search and selection share that voice", data.name, data.split)
        groups = {utterance.id: f"id:{utterance.id}" for utterance in data.utterances}
    place = {group: _place(f"{seed}:{group}") for group in groups.values()}
    search = {group for group in place if place[group] < fraction} or {min(place, key=place.__getitem__)}
    if len(search) == len(place):
        search.remove(max(place, key=place.__getitem__))
    parts = []
    for name, wanted in (("search", True), ("selection", False)):
        chosen = tuple(one for one in data.utterances if (groups[one.id] in search) is wanted)
        parts.append(UtteranceSet(data.name, f"{data.split}/{name}", chosen))
    of = "too few utterances" if all(group.startswith("id:") for group in place) else "too few speakers"
    uneven = abs(len(parts[0]) / len(data) - fraction) > _UNEVEN
    log.log(
        logging.WARNING if uneven else logging.INFO,
        "%s, %s: %d utterances to search on, %d to choose on%s",
        *(data.name, data.split, *map(len, parts)),
        f"; {of} for an even division, name two splits outright if that is not enough" if uneven else "",
    )
    return parts[0], parts[1]


def refuse_test(split: str, force: bool = False) -> None:
    """Refuse to tune on a split whose name says that it is for the final test (test-clean, eval92, devel+test ...).

    Raises:
        DataError: the name has a word that begins with "test" or "eval", and ``force`` is not set.
    """
    if _TEST.search(split.lower()) and not force:
        raise DataError(
            f"split {split!r} is a test split by its name: a policy tuned on it can no longer be judged on it. "
            "Tune on another split (validation, dev, train), or force it (--force-test) if the name misleads"
        )


def _group(utterance: Utterance) -> str:
    return f"id:{utterance.id}" if utterance.speaker is None else f"speaker:{utterance.speaker}"


def _place(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, on every machine."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48
