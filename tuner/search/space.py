"""Search spaces: YAML files with the shape of a policy and ranges for values, and what a trial may draw from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tuner.errors import SearchError
from tuner.policy import MergeSite
from tuner.runtime.affinity import Position
from tuner.shipped import shipped

STEP = 0.01  # of thresholds: finer differences drown in noise and make policies hard to read
Params = dict[str, float | int | str]
Given = Mapping[str, float | int | str]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


class Range(_Strict):
    """All values from `low` to `high`."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Choices(_Strict):
    """One of a few values."""

    choices: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]


class PositionChoices(_Strict):
    """Which original position a merged token keeps: one of a few, the first of them where nothing else is asked for."""

    choices: Annotated[tuple[Position, ...], Field(strict=False, min_length=1)]


Depth = Annotated[float, Field(ge=0, le=1)]  # as a fraction; 1 is the last layer
Threshold = Annotated[float, Field(ge=-1)]


class SiteSpace(_Strict):
    """Ranges of one merge site."""

    layer: Depth | Range
    threshold: Threshold | Range
    window: int | Choices = 1


class LadderSpace(_Strict):
    """A site at every `every`-th layer from `start` on, thresholds interpolated from there to the last layer."""

    start: Depth | Range
    every: int | Choices = 1
    thresholds: Annotated[tuple[Threshold | Range, ...], Field(strict=False, min_length=2)]
    window: int | Choices = 1


class SearchSpace(_Strict):
    """A family of policies: either single sites or a ladder of them."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    sites: Annotated[tuple[SiteSpace, ...], Field(strict=False)] = ()
    ladder: LadderSpace | None = None
    position: Position | PositionChoices = "first"
    min_audio_tokens: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_kind(self) -> SearchSpace:
        if bool(self.sites) == (self.ladder is not None):
            raise ValueError("give either sites or a ladder")
        return self

    @property
    def fingerprint(self) -> str:
        """16 hex digits of everything that decides what can be drawn."""
        content = self.model_dump(mode="json", exclude={"name"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str) -> SearchSpace:
        """Reads a file, or a shipped space by its name (triple, dual, ladder, input).

        Raises:
            SearchError: if there is no such file or it does not follow the schema.
        """
        path = _find(name)
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except yaml.YAMLError as error:
            raise SearchError(f"{path} is not YAML: {error}") from error
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:4])
            raise SearchError(
                f"{path} is not a search space: {problems}. Compare with search_spaces/dual.yaml"
            ) from error

    def distributions(self, layers: int) -> dict[str, BaseDistribution]:
        """What is free, by parameter name, for a model of so many decoder layers."""
        return dict(self._free(layers))

    def suggest(self, trial: Trial, layers: int, solved: str | None = None) -> Params:
        """The values that a trial proposes for everything free but the parameter `solved`."""
        params: Params = {}
        for name, distribution in self._free(layers):
            if name == solved:
                continue
            if isinstance(distribution, IntDistribution):
                params[name] = trial.suggest_int(name, distribution.low, distribution.high)
            elif isinstance(distribution, FloatDistribution):
                params[name] = trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step)
            elif isinstance(distribution, CategoricalDistribution):
                params[name] = trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]
        return params

    def last_threshold(self, layers: int) -> tuple[str, FloatDistribution] | None:
        """The free threshold of the last of several single sites, if it always lies behind the others: what it saves
        can then be known without trying. None where there is none."""
        name = f"threshold.{len(self.sites) - 1}"
        distribution = self.distributions(layers).get(name)
        if not isinstance(distribution, FloatDistribution) or self.ladder is not None:
            return None
        *others, last = (bounds(site.layer, layers) for site in self.sites)
        return (name, distribution) if all(high < last[0] for _, high in others) else None

    def sites_of(self, params: Given, layers: int) -> tuple[MergeSite, ...]:
        """The merge sites for given parameter values; sites with a threshold above 1 merge nothing and are left out."""
        if self.ladder is not None:
            return self._rungs(self.ladder, params, layers)
        sites: dict[int, MergeSite] = {}
        for number, site in enumerate(self.sites):
            layer = int(_value(params, f"layer.{number}", site.layer, layers))
            threshold = _value(params, f"threshold.{number}", site.threshold, layers)
            window = int(_value(params, f"window.{number}", site.window, layers))
            if threshold <= 1 and layer not in sites:
                sites[layer] = MergeSite(layer=layer, threshold=round(threshold, 4), window=window)
        return tuple(sites[layer] for layer in sorted(sites))

    def position_of(self, params: Given) -> Position:
        """The position rule for given parameter values; without one the first that there is."""
        return cast(Position, params.get("position", self._positions[0]))

    def identity(self, layers: int) -> Params | None:
        """The parameters that switch everything off, None where the space cannot."""
        params = {name: _off(distribution) for name, distribution in self._free(layers)}
        return None if self.sites_of(params, layers) else params

    def strongest(self, layers: int) -> tuple[MergeSite, ...]:
        """The policy that saves most: every threshold at its lowest, every site at its earliest, windows widest."""
        params = {name: self._strong(name, d) for name, d in self._free(layers)}
        return self.sites_of(params, layers)

    def express(self, sites: tuple[MergeSite, ...], position: Position, layers: int) -> Params | None:
        """The parameters that draw exactly these sites and that rule, None where the space does not hold them."""
        free = self.distributions(layers)
        if position not in self._positions:
            return None
        for slots in combinations(range(len(self.sites)), len(sites)):
            params: Params = {name: _off(distribution) for name, distribution in free.items()}
            params.update({"position": position} if "position" in free else {})
            for slot, site in zip(slots, sites, strict=True):
                values = {"layer": site.layer, "threshold": site.threshold, "window": site.window}
                params.update({f"{key}.{slot}": value for key, value in values.items() if f"{key}.{slot}" in free})
            inside = all(_holds(free[name], value) for name, value in params.items())
            if inside and self.sites_of(params, layers) == sites:
                return params
        return None

    @property
    def _positions(self) -> tuple[Position, ...]:
        return self.position.choices if isinstance(self.position, PositionChoices) else (self.position,)

    def _strong(self, name: str, distribution: BaseDistribution) -> float | int | str:
        if isinstance(distribution, CategoricalDistribution):
            choices = cast(tuple[int | str, ...], distribution.choices)
            return max(choices) if name.startswith("window") else min(choices)
        if isinstance(distribution, IntDistribution | FloatDistribution):
            return distribution.low
        raise TypeError(distribution)

    def _free(self, layers: int) -> Iterator[tuple[str, BaseDistribution]]:
        if self.ladder is not None:
            yield from _maybe("start", self.ladder.start, layers)
            yield from _maybe("every", self.ladder.every, layers)
            for number, threshold in enumerate(self.ladder.thresholds):
                yield from _maybe(f"threshold.{number}", threshold, layers)
            yield from _maybe("window", self.ladder.window, layers)
        for number, site in enumerate(self.sites):
            yield from _maybe(f"layer.{number}", site.layer, layers)
            yield from _maybe(f"threshold.{number}", site.threshold, layers)
            yield from _maybe(f"window.{number}", site.window, layers)
        if isinstance(self.position, PositionChoices):
            yield "position", CategoricalDistribution(self.position.choices)

    def _rungs(self, ladder: LadderSpace, params: Given, layers: int) -> tuple[MergeSite, ...]:
        start = int(_value(params, "start", ladder.start, layers))
        every = int(_value(params, "every", ladder.every, layers))
        window = int(_value(params, "window", ladder.window, layers))
        corners = [
            _value(params, f"threshold.{number}", threshold, layers)
            for number, threshold in enumerate(ladder.thresholds)
        ]
        rungs = []
        for layer in range(start, layers, every):
            depth = (layer - start) / max(layers - 1 - start, 1) * (len(corners) - 1)
            lower = min(int(depth), len(corners) - 2)
            threshold = round(corners[lower] + (depth - lower) * (corners[lower + 1] - corners[lower]), 4)
            if threshold <= 1:
                rungs.append(MergeSite(layer=layer, threshold=threshold, window=window))
        return tuple(rungs)


def _maybe(name: str, value: Any, layers: int) -> Iterator[tuple[str, BaseDistribution]]:
    if isinstance(value, Choices):
        yield name, CategoricalDistribution(value.choices)
    elif isinstance(value, Range) and name.startswith(("layer", "start")):
        yield name, IntDistribution(_layer(value.low, layers), _layer(value.high, layers))
    elif isinstance(value, Range):
        yield name, FloatDistribution(value.low, value.high, step=STEP)


def _value(params: Given, name: str, fixed: Any, layers: int) -> float:
    """A parameter's value: the trial's, or the one that the space fixes."""
    if isinstance(fixed, Range | Choices):
        return float(params[name])
    return _layer(fixed, layers) if name.startswith(("layer", "start")) else float(fixed)


def _layer(depth: float, layers: int) -> int:
    """A fraction of the depth as a layer: 0 is the first, 1 the last."""
    return round(depth * (layers - 1))


def bounds(layer: float | Range, layers: int) -> tuple[int, int]:
    """The first and the last layer that a site can be at."""
    low, high = (layer.low, layer.high) if isinstance(layer, Range) else (layer, layer)
    return _layer(low, layers), _layer(high, layers)


def _off(distribution: BaseDistribution) -> float | int | str:
    """The value that keeps a site out of the way: the highest threshold, the last layer, any window and rule."""
    if isinstance(distribution, CategoricalDistribution):
        return cast(int | str, distribution.choices[0])
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return distribution.high
    raise TypeError(distribution)


def _holds(distribution: BaseDistribution, value: float | int | str) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, IntDistribution | FloatDistribution) and not isinstance(value, str):
        return distribution.low <= value <= distribution.high
    return False


def _find(name: str) -> Path:
    given = Path(name).expanduser()
    if given.suffix in (".yaml", ".yml"):
        if not given.is_file():
            raise SearchError(f"there is no search space file {given}")
        return given
    known = shipped("search_spaces")
    if name not in known:
        raise SearchError(
            f"there is no search space {name!r}; shipped: {', '.join(sorted(known))}; or give the path of a YAML file"
        )
    return known[name]
