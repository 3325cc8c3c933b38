"""The checks by name, in the order in which a reader wants to know."""

from __future__ import annotations

from tuner.doctor import behaviour, numbers
from tuner.doctor.finding import Check

NUMBERS: dict[str, Check] = {
    "rounding": numbers.rounding,
    "merging": numbers.merging,
    "decoding": numbers.decoding,
    "follow-up turn": numbers.follow_up,
    "labels": numbers.labels,
}
BEHAVIOUR: dict[str, Check] = {
    "identity": behaviour.identity,
    "undo": behaviour.undoing,
    "greedy": behaviour.greedily,
    "no cache": behaviour.without_cache,
    "prompt lookup": behaviour.prompt_lookup,
    "beams": behaviour.beams,
    "sampling": behaviour.sampling,
    "static cache": behaviour.static_cache,
}
CHECKS = NUMBERS | BEHAVIOUR
