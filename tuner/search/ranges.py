"""What a search space gives for a value: one, a range or a choice; and what that makes of it for a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field, model_validator

STEP = 0.01  # of thresholds and ratios: finer differences drown in noise and make policies hard to read
Params = dict[str, float | int | str]
Given = Mapping[str, float | int | str]


class Strict(BaseModel):
    """A part of a search space file: nothing unknown, nothing converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


class Range(Strict):
    """All values from `low` to `high`."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Choices(Strict):
    """One of a few values."""

    choices: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]


Depth = Annotated[float, Field(ge=0, le=1)]  # as a fraction; 1 is the last layer
Threshold = Annotated[float, Field(ge=-1)]


def distribution_of(name: str, value: Any, layers: int) -> Iterator[tuple[str, BaseDistribution]]:
    """The parameter `name` and what it can be, if `value` leaves it free."""
    if isinstance(value, Choices):
        yield name, CategoricalDistribution(value.choices)
    elif isinstance(value, Range) and name.startswith(("layer", "start")):
        yield name, IntDistribution(layer_at(value.low, layers), layer_at(value.high, layers))
    elif isinstance(value, Range):
        yield name, FloatDistribution(value.low, value.high, step=STEP)


def value_of(params: Given, name: str, fixed: Any, layers: int) -> float:
    """A parameter's value: the trial's, or the one that the space fixes."""
    if isinstance(fixed, Range | Choices):
        return float(params[name])
    return layer_at(fixed, layers) if name.startswith(("layer", "start")) else float(fixed)


def layer_at(depth: float, layers: int) -> int:
    """A fraction of the depth as a layer: 0 is the first, 1 the last."""
    return round(depth * (layers - 1))


def bounds(layer: float | Range, layers: int) -> tuple[int, int]:
    """The first and the last layer that a site can be at."""
    low, high = (layer.low, layer.high) if isinstance(layer, Range) else (layer, layer)
    return layer_at(low, layers), layer_at(high, layers)


def off(distribution: BaseDistribution) -> float | int | str:
    """The value that keeps a site out of the way: the highest threshold or ratio, the last layer, any window, method
    and rule."""
    if isinstance(distribution, CategoricalDistribution):
        return cast(int | str, distribution.choices[0])
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return distribution.high
    raise TypeError(distribution)


def holds(distribution: BaseDistribution, value: float | int | str) -> bool:
    """Whether a trial could draw the value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, IntDistribution | FloatDistribution) and not isinstance(value, str):
        return distribution.low <= value <= distribution.high
    return False
