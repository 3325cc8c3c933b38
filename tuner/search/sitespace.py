"""The ranges of one merge site: where it is, which methods may be there, and how strongly they merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from tuner.methods.known import METHODS
from tuner.search.ranges import (
    Choices,
    Depth,
    Given,
    Range,
    Strict,
    Threshold,
    distribution_of,
    value_of,
)
from tuner.sites import AFFINITY, UNBOUNDED, MergeSite

_BY_KEYS = ("atome", "threshold")  # what it keeps depends on keys
_UNSAID = (("method", AFFINITY), ("off", 1.0), UNBOUNDED)


class MethodChoices(Strict):
    """One of a few methods, by the names of `tuner.methods.known.METHODS`."""

    choices: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class SiteSpace(Strict):
    """Ranges of one merge site.

    A method that takes a `ratio` takes it alone where it shares the site with others: `threshold` is affinity's then.
    Above `off` a threshold leaves the site out: no similarity is above 1, and in some models none is near it. From 1 on
    a ratio does. How far a range reaches beyond says how often a sampler tries without the site.
    """

    layer: Depth | Range
    method: str | MethodChoices = AFFINITY
    threshold: Threshold | Range | None = None
    window: int | Choices = 1
    largest: int | Choices = 0
    ratio: Annotated[float, Field(gt=0, le=1)] | Range | None = None
    seed: int | Choices | None = None
    off: Annotated[float, Field(ge=-1, le=1)] = 1.0

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that may be there."""
        return self.method.choices if isinstance(self.method, MethodChoices) else (self.method,)

    @model_validator(mode="after")
    def _drawable(self) -> SiteSpace:
        if isinstance(self.ratio, Range) and not 0 < self.ratio.low <= 1:
            raise ValueError(f"ratios begin above 0 and not above 1, got {self.ratio.low} to {self.ratio.high}")
        for name in self.methods:
            if name not in METHODS:
                raise ValueError(f"there is no method {name!r}; known: {', '.join(METHODS)}")
            lowest = {key: _lowest(value) for key, value in self._settings(name).items()}
            try:
                MergeSite(layer=0, method=name, **lowest)
            except ValidationError as error:
                raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        used = {name for method in self.methods for name in self._settings(method)}
        for name in ("threshold", "ratio", "seed"):
            if getattr(self, name) is not None and name not in used:
                raise ValueError(f"no method of this site uses {name!r}: leave it out")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was said; a space that says nothing else stays what it was before there was more to say."""
        content: dict[str, Any] = handler(self)
        content = {key: value for key, value in content.items() if value is not None}
        return {key: value for key, value in content.items() if (key, value) not in _UNSAID}

    def free(self, number: int, layers: int) -> Iterator[tuple[str, BaseDistribution]]:
        """What is free at this site, the space's site `number`, by parameter name."""
        yield from distribution_of(f"layer.{number}", self.layer, layers)
        if isinstance(self.method, MethodChoices):
            yield f"method.{number}", CategoricalDistribution(self.method.choices)
        used = {name for method in self.methods for name in self._settings(method)}
        for name in ("threshold", "window", "largest", "ratio", "seed"):
            if name in used:
                yield from distribution_of(f"{name}.{number}", getattr(self, name), layers)

    def site(self, number: int, params: Given, layers: int) -> MergeSite | None:
        """The merge site for given parameter values; None where it would do nothing."""
        method = self._method(number, params)
        values = {
            name: value_of(params, f"{name}.{number}", fixed, layers) for name, fixed in self._settings(method).items()
        }
        if values.get("threshold", -1) > self.off or values.get("ratio", 0) >= 1:
            return None
        whole = {name: int(value) for name, value in values.items() if name in ("window", "largest", "seed")}
        real = {name: round(value, 4) for name, value in values.items() if name not in whole}
        layer = int(value_of(params, f"layer.{number}", self.layer, layers))
        given: dict[str, Any] = {**real, **whole}
        return MergeSite(layer=layer, method=method, **given)

    def strength(self, number: int, params: Given) -> str:
        """The parameter that says how strongly the method merges that `params` choose."""
        return f"{self._strength(self._method(number, params))}.{number}"

    def strengths(self, number: int, layers: int) -> dict[str, FloatDistribution]:
        """Of every method the parameter that says how strongly it merges, by name; none where one of them is fixed, or
        where what it keeps is not known without the layer's attention."""
        free = dict(self.free(number, layers))
        found: dict[str, FloatDistribution] = {}
        for method in self.methods:
            name = f"{self._strength(method)}.{number}"
            distribution = free.get(name)
            if not isinstance(distribution, FloatDistribution) or (method, self._strength(method)) == _BY_KEYS:
                return {}
            found[name] = distribution
        return found

    def _method(self, number: int, params: Given) -> str:
        return str(params[f"method.{number}"]) if isinstance(self.method, MethodChoices) else self.method

    def _strength(self, method: str) -> str:
        return "ratio" if "ratio" in self._settings(method) else "threshold"

    def _settings(self, method: str) -> dict[str, Any]:
        """What the space says of a method's settings."""
        names = [field.name for field in fields(METHODS[method])]
        said = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if len(self.methods) > 1 and "ratio" in said:
            said.pop("threshold", None)
        return said


def _lowest(value: Any) -> Any:
    if isinstance(value, Choices):
        return value.choices[0]
    return min(value.low if isinstance(value, Range) else value, 1.0) if isinstance(value, float | Range) else value
