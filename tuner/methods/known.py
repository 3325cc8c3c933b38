"""All methods by the name that policies and search spaces give them."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import Any

from tuner.methods.affinity import Affinity
from tuner.methods.atome import AToMe
from tuner.methods.base import Method
from tuner.methods.fastadasp import FastAdaSP
from tuner.methods.interpolate import Interpolate
from tuner.methods.norm import Norm
from tuner.methods.quantile import Quantile
from tuner.methods.random import Random
from tuner.methods.samap import SaMap
from tuner.methods.stride import Stride
from tuner.methods.uniform import Uniform
from tuner.sites import UNBOUNDED, MergeSite, Setting

METHODS: dict[str, Any] = {
    "affinity": Affinity,
    "quantile": Quantile,
    "uniform": Uniform,
    "stride": Stride,
    "interpolate": Interpolate,
    "random": Random,
    "norm": Norm,
    "atome": AToMe,
    "fastadasp": FastAdaSP,
    "samap": SaMap,
}

BY_ATTENTION = frozenset({"norm", "atome", "fastadasp", "samap"})  # these look at the attention of the site's layer


def method_of(site: MergeSite) -> Method:
    """The method of a merge site, with the site's settings."""
    method: Method = METHODS[site.method](**site.given)
    return method


def settings_of(site: MergeSite) -> dict[str, Setting]:
    """The settings of the site's method by name, defaults among them."""
    known: Any = method_of(site)
    return {name: value for name, value in asdict(known).items() if value is not None and (name, value) != UNBOUNDED}


def check(site: MergeSite) -> None:
    """Refuses a site whose settings are not those of its method.

    Raises:
        ValueError: says which setting is wrong, and which there are.
    """
    if site.method not in METHODS:
        raise ValueError(f"there is no method {site.method!r}; known: {', '.join(METHODS)}")
    needed = {field.name: field.default is MISSING for field in fields(METHODS[site.method])}
    for name in site.given:
        if name not in needed:
            raise ValueError(f"method {site.method!r} has no setting {name!r}; it has {', '.join(needed)}")
    for name in needed:
        if needed[name] and name not in site.given:
            raise ValueError(f"method {site.method!r} needs {name!r}")
    method_of(site)  # refuses settings that do not go together
