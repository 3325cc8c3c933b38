"""The search space of a single method: the same three sites for all, with the settings that the method has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tuner.compare.plan import PROPORTIONAL
from tuner.methods.known import METHODS
from tuner.methods.samap import SaMap
from tuner.search.ranges import Choices, Range
from tuner.search.sitespace import SiteSpace
from tuner.search.space import SearchSpace
from tuner.sites import AFFINITY

DEPTHS = (0.0, Range(low=0.1, high=0.45), Range(low=0.5, high=1.0))  # those of search_spaces/triple.yaml
OFF = 1.2  # of thresholds and ratios: what is above 1 leaves a site out, so that every method may do without
# How strongly each site may merge at most, where the budget does not say it.
LEAST = {"threshold": (0.0, 0.4, 0.0), "ratio": (0.1, 0.3, 0.1)}
HALVES = {"atome": 0.5}  # it merges pairs, so that lower ratios change nothing
FEW = {"window": Choices(choices=(1, 3)), "largest": Choices(choices=(2, 3, 0))}  # settings with few values
MEANS = Range(low=0.6, high=1.0)  # SA-MAP's threshold, which merges before the ratio selects


def strength_of(method: str) -> str:
    """The setting that says how strongly a method merges."""
    return "threshold" if method == AFFINITY else "ratio"


def at_input(method: str) -> SearchSpace:
    """The input alone, the method's other settings at their defaults: the plain way to use it."""
    merging = method.removesuffix(PROPORTIONAL)
    usual = {"threshold": SaMap.threshold} if merging == "samap" else {}
    return _space(f"{method} at the input", method, (_site(merging, 0, **usual),))


def spread(method: str, least: float | None) -> SearchSpace:
    """The input, one site in the first half of the decoder and one in the second, everything free.

    Args:
        method: its name, with or without `PROPORTIONAL`; of A-ToMe the ratio is searched, of SA-MAP the threshold too.
        least: the threshold or ratio of the input, below which it would save more than is asked for by itself;
            None where it is not known.
    """
    merging = method.removesuffix(PROPORTIONAL)
    free: dict[str, Any] = {"threshold": MEANS} if merging == "samap" else {}
    free |= {name: choices for name, choices in FEW.items() if name in _settings(merging)}
    sites = (_site(merging, 0, least, **free), _site(merging, 1, **free), _site(merging, 2, **free))
    return _space(f"{method} at three sites", method, sites)


def _space(name: str, method: str, sites: tuple[SiteSpace, ...]) -> SearchSpace:
    return SearchSpace(schema=1, name=name, sites=sites, position="last", proportional=method.endswith(PROPORTIONAL))


def _site(method: str, number: int, least: float | None = None, **free: Any) -> SiteSpace:
    name = strength_of(method)
    low = LEAST[name][number] if least is None else least
    reach = Range(low=max(low, HALVES.get(method, low)), high=OFF)
    return SiteSpace(layer=DEPTHS[number], method=method, **{**free, name: reach})


def _settings(method: str) -> set[str]:
    return {field.name for field in fields(METHODS[method])}
