"""Search spaces: YAML files with the shape of a policy and ranges for values, and what a trial may draw from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, cast

import yaml
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field, ValidationError, model_validator

from tuner.errors import SearchError
from tuner.policy import Policy
from tuner.runtime.affinity import Position
from tuner.search.ranges import (
    STEP,
    Choices,
    Depth,
    Given,
    Params,
    Range,
    Strict,
    Threshold,
    bounds,
    distribution_of,
    holds,
    off,
    value_of,
)
from tuner.search.sitespace import SiteSpace
from tuner.shipped import shipped
from tuner.sites import AFFINITY, MergeSite

__all__ = ["Choices", "LadderSpace", "Params", "Range", "SearchSpace", "SiteSpace"]


class PositionChoices(Strict):
    """Which original position a merged token keeps: one of a few, the first of them where nothing else is asked for."""

    choices: Annotated[tuple[Position, ...], Field(strict=False, min_length=1)]


class LadderSpace(Strict):
    """A site at every `every`-th layer from `start` on, thresholds interpolated from there to the last layer."""

    start: Depth | Range
    every: int | Choices = 1
    thresholds: Annotated[tuple[Threshold | Range, ...], Field(strict=False, min_length=2)]
    window: int | Choices = 1


class SearchSpace(Strict):
    """A family of policies: either single sites or a ladder of them."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    sites: Annotated[tuple[SiteSpace, ...], Field(strict=False)] = ()
    ladder: LadderSpace | None = None
    position: Position | PositionChoices = "first"
    min_audio_tokens: Annotated[int, Field(ge=0)] = 0
    size_weighted: bool = False
    proportional: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> SearchSpace:
        if bool(self.sites) == (self.ladder is not None):
            raise ValueError("give either sites or a ladder")
        return self

    @property
    def fingerprint(self) -> str:
        """16 hex digits of everything that decides what can be drawn."""
        unsaid = {name for name in ("size_weighted", "proportional") if not getattr(self, name)}
        leave_out = {"name", *unsaid}
        content = self.model_dump(mode="json", exclude=leave_out)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str) -> SearchSpace:
        """Reads a file, or a shipped space by its name (triple, dual, ladder, input, methods).

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

    def suggest(self, trial: Trial, layers: int, solved: Collection[str] = ()) -> Params:
        """The values that a trial proposes for everything free but the parameters `solved`."""
        params: Params = {}
        for name, distribution in self._free(layers):
            if name in solved:
                continue
            if isinstance(distribution, IntDistribution):
                params[name] = trial.suggest_int(name, distribution.low, distribution.high)
            elif isinstance(distribution, FloatDistribution):
                params[name] = trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step)
            elif isinstance(distribution, CategoricalDistribution):
                params[name] = trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]
        return params

    def last_threshold(self, layers: int) -> tuple[str, FloatDistribution] | None:
        """The one parameter of `solvable`, where every method there is takes the same."""
        found = self.solvable(layers)
        return next(iter(found.items())) if len(found) == 1 else None

    def solvable(self, layers: int) -> dict[str, FloatDistribution]:
        """The free thresholds and ratios of the last of several single sites, one of which its method takes, if it
        always lies behind the others: what it saves can then be known without trying. Empty where it cannot."""
        if self.ladder is not None:
            return {}
        *others, last = (bounds(site.layer, layers) for site in self.sites)
        behind = all(high < last[0] for _, high in others)
        return self.sites[-1].strengths(len(self.sites) - 1, layers) if behind else {}

    def solved_by(self, params: Given) -> str:
        """Which of the solvable parameters the method takes that `params` choose."""
        return self.sites[-1].strength(len(self.sites) - 1, params)

    def sites_of(self, params: Given, layers: int) -> tuple[MergeSite, ...]:
        """The merge sites for given parameter values; those with a threshold above 1 or a ratio of 1 do nothing and are
        left out."""
        if self.ladder is not None:
            return self._rungs(self.ladder, params, layers)
        sites: dict[int, MergeSite] = {}
        for number, space in enumerate(self.sites):
            site = space.site(number, params, layers)
            if site is not None:
                sites.setdefault(site.layer, site)
        return tuple(sites[layer] for layer in sorted(sites))

    def position_of(self, params: Given) -> Position:
        """The position rule for given parameter values; without one the first that there is."""
        return cast(Position, params.get("position", self._positions[0]))

    def identity(self, layers: int) -> Params | None:
        """The parameters that switch everything off, None where the space cannot."""
        params = {name: off(distribution) for name, distribution in self._free(layers)}
        return None if self.sites_of(params, layers) else params

    def strongest(self, layers: int, method: str | None = None) -> tuple[MergeSite, ...]:
        """The policy that saves most: every threshold and ratio at its lowest, every site at its earliest, windows
        widest, groups as large as may be; by `method` at every site that may have it."""
        params = {name: self._strong(name, d) for name, d in self._free(layers)}
        for name, distribution in self._free(layers):
            if name.startswith("method") and method is not None and holds(distribution, method):
                params[name] = method
        return self.sites_of(params, layers)

    def harder(self, params: Params, share: float, layers: int) -> Params:
        """The same with every free threshold and ratio moved by a share of the way to its lowest; from 1, where it is
        above that and merges nothing anyway."""
        moved = dict(params)
        for name, distribution in self._free(layers):
            if share and name in params and isinstance(distribution, FloatDistribution):
                way = (1 - share) * (min(float(params[name]), 1.0) - distribution.low)
                moved[name] = round(distribution.low + round(way / STEP) * STEP, 4)
        return moved

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods that a policy may use."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.methods)) or (AFFINITY,)

    def params_of(self, policy: Policy, layers: int) -> Params | None:
        """The parameters that draw what this policy does, None where the space does not hold it."""
        if policy.is_identity:
            return self.identity(layers)
        if policy.proportional != self.proportional:
            return None
        return self.express(policy.sites, policy.position, layers)

    def express(self, sites: tuple[MergeSite, ...], position: Position, layers: int) -> Params | None:
        """The parameters that draw exactly these sites and that rule, None where the space does not hold them."""
        free = self.distributions(layers)
        if position not in self._positions:
            return None
        for slots in combinations(range(len(self.sites)), len(sites)):
            params: Params = {name: off(distribution) for name, distribution in free.items()}
            params.update({"position": position} if "position" in free else {})
            for slot, site in zip(slots, sites, strict=True):
                values = {"layer": site.layer, "method": site.method, "largest": site.largest, **site.settings}
                params.update({f"{key}.{slot}": value for key, value in values.items() if f"{key}.{slot}" in free})
            inside = all(holds(free[name], value) for name, value in params.items())
            if inside and self.sites_of(params, layers) == sites:
                return params
        return None

    @property
    def _positions(self) -> tuple[Position, ...]:
        return self.position.choices if isinstance(self.position, PositionChoices) else (self.position,)

    def _strong(self, name: str, distribution: BaseDistribution) -> float | int | str:
        if isinstance(distribution, CategoricalDistribution):
            choices = cast(tuple[int | str, ...], distribution.choices)
            if name.startswith(("method", "position")):
                return choices[0]
            if name.startswith("largest"):
                return 0 if 0 in choices else max(choices)
            return max(choices) if name.startswith("window") else min(choices)
        if isinstance(distribution, IntDistribution | FloatDistribution):
            return distribution.low
        raise TypeError(distribution)

    def _free(self, layers: int) -> Iterator[tuple[str, BaseDistribution]]:
        if self.ladder is not None:
            yield from distribution_of("start", self.ladder.start, layers)
            yield from distribution_of("every", self.ladder.every, layers)
            for number, threshold in enumerate(self.ladder.thresholds):
                yield from distribution_of(f"threshold.{number}", threshold, layers)
            yield from distribution_of("window", self.ladder.window, layers)
        for number, site in enumerate(self.sites):
            yield from site.free(number, layers)
        if isinstance(self.position, PositionChoices):
            yield "position", CategoricalDistribution(self.position.choices)

    def _rungs(self, ladder: LadderSpace, params: Given, layers: int) -> tuple[MergeSite, ...]:
        start = int(value_of(params, "start", ladder.start, layers))
        every = int(value_of(params, "every", ladder.every, layers))
        window = int(value_of(params, "window", ladder.window, layers))
        corners = [
            value_of(params, f"threshold.{number}", threshold, layers)
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
