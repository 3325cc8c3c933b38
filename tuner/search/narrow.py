"""A search space narrowed by a redundancy map: depths where nothing can be spared and thresholds that cannot pay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.loading import LoadedModel
from tuner.runtime.models import fingerprint
from tuner.search.evidence import NOTHING, Evidence
from tuner.search.ranges import STEP, Choices, Range, bounds
from tuner.search.settings import Settings
from tuner.search.sitespace import SiteSpace
from tuner.search.space import LadderSpace, SearchSpace
from tuner.sites import AFFINITY

SWITCH = 2 * STEP  # how far a range reaches beyond the threshold from which on a site is left out
CONFIG = "narrowed"  # where a run's config keeps the space and the evidence


@dataclass(frozen=True)
class Narrowed:
    """A space, and why it is narrower than the one that was asked for, in words; unchanged without evidence."""

    space: SearchSpace
    evidence: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """For the run's config: empty where nothing was narrowed."""
        if not self.evidence:
            return {}
        space = self.space.model_dump(mode="json", by_alias=True)
        return {CONFIG: {"space": space, "evidence": list(self.evidence)}}


def narrowed(settings: Settings, space: SearchSpace, loaded: LoadedModel, config: Mapping[str, Any] | None) -> Narrowed:
    """The space of a search: as it is, or narrowed by the probe that the settings name.

    A resumed run, of that `config`, goes on in the space that it began with, whatever the probe says by now.

    Raises:
        TunerError: there is no such probe, or it cannot speak for this search.
    """
    if config is not None:
        kept = config.get(CONFIG)
        return Narrowed(SearchSpace.model_validate(kept["space"]), tuple(kept["evidence"])) if kept else Narrowed(space)
    if settings.from_probe is None:
        return Narrowed(space)
    here = fingerprint(loaded.model)
    evidence = Evidence.load(settings.from_probe, settings.runs, here, settings.force_test)
    narrower, reasons = narrow(space, evidence, loaded.speech.num_layers)
    found = evidence.found
    source = (
        f"from the probe {settings.from_probe}: {found.task} on {found.dataset}/{found.split}, {found.utterances} "
        f"utterances, tolerance {100 * found.tolerance:g} points"
    )
    return Narrowed(narrower, (source, *(reasons or ["nothing in the search space is ruled out by it"])))


def narrow(space: SearchSpace, evidence: Evidence, layers: int) -> tuple[SearchSpace, list[str]]:
    """The space without what the evidence rules out, for a model of so many layers; and each reason in words.

    Only ranges give way, from their ends. Interventions spare tokens evenly, affinity pooling where they are alike, so
    it may do better than they did; what is cut off are shares of tokens at which every one of them was harmful.
    """
    reasons: list[str] = []
    if space.ladder is not None:
        ladder = _ladder(space.ladder, evidence, layers, reasons)
        return space.model_copy(update={"ladder": ladder}), reasons
    sites = tuple(_site(site, f"site {number}", evidence, layers, reasons) for number, site in enumerate(space.sites))
    return space.model_copy(update={"sites": sites}), reasons


def _site(site: SiteSpace, name: str, evidence: Evidence, layers: int, reasons: list[str]) -> SiteSpace:
    depth = _depth(site.layer, name, evidence, layers, reasons)
    low, high = bounds(depth, layers)
    reach = range(low, high + 1)
    changed: dict[str, Any] = {"layer": depth}
    if isinstance(site.threshold, Range) and AFFINITY in site.methods:
        threshold = _threshold(site.threshold, name, evidence, reach, reasons, _left_by(site.largest))
        off = _off(threshold, evidence, reach)
        if off + SWITCH < threshold.high:
            reasons.append(
                f"{name}: thresholds above {off:g} leave it out; less than {NOTHING:.0%} of the tokens would be merged"
            )
            changed["off"], threshold = off, Range(low=threshold.low, high=round(off + SWITCH, 4))
        changed["threshold"] = threshold
    if isinstance(site.ratio, Range):
        changed["ratio"] = _ratio(site.ratio, name, evidence, reach, reasons)
    return site.model_copy(update=changed)


def _ladder(ladder: LadderSpace, evidence: Evidence, layers: int, reasons: list[str]) -> LadderSpace:
    """Rungs reach from the start to the last layer, so thresholds are held against all of these."""
    start = _depth(ladder.start, "the ladder's start", evidence, layers, reasons)
    reach = range(bounds(start, layers)[0], layers)
    thresholds = tuple(
        _threshold(one, f"corner {number}", evidence, reach, reasons) if isinstance(one, Range) else one
        for number, one in enumerate(ladder.thresholds)
    )
    return ladder.model_copy(update={"start": start, "thresholds": thresholds})


def _depth(depth: float | Range, name: str, evidence: Evidence, layers: int, reasons: list[str]) -> float | Range:
    """Without the hopeless layers at its ends; all of it where no layer would be left."""
    if not isinstance(depth, Range):
        return depth
    low, high = bounds(depth, layers)
    left = [layer for layer in range(low, high + 1) if not evidence.hopeless(layer)]
    if not left:
        reasons.append(
            f"{name}: at layers {low} to {high} every intervention was harmful; its thresholds alone give way"
        )
        return depth
    if (left[0], left[-1]) == (low, high):
        return depth
    gone = [layer for layer in range(low, high + 1) if not left[0] <= layer <= left[-1]]
    reasons.append(
        f"{name}: layers {low} to {high} become {left[0]} to {left[-1]}; before {_listed(gone)} every intervention was "
        "harmful, whatever it left"
    )
    return Range(low=left[0] / (layers - 1), high=left[-1] / (layers - 1))


def _threshold(
    threshold: Range, name: str, evidence: Evidence, layers: range, reasons: list[str], bound: float = 0.0
) -> Range:
    """Without what keeps too little at every one of `layers`; groups leave the share `bound` at least."""
    grid = list(_grid(threshold))
    gentlest = min(layers, key=lambda layer: _lowest(grid, evidence, layer, bound))
    low = _lowest(grid, evidence, gentlest, bound)
    if low > threshold.low:
        reasons.append(
            f"{name}: thresholds from {threshold.low:g} begin at {low:g}; below, less than "
            f"{evidence.too_little(gentlest):.0%} of the tokens would be kept {_before(gentlest, layers)}"
        )
    return Range(low=low, high=threshold.high)


def _ratio(ratio: Range, name: str, evidence: Evidence, layers: range, reasons: list[str]) -> Range:
    """The same of a share of tokens that is asked for outright."""
    gentlest = min(layers, key=evidence.too_little)
    low = max(ratio.low, min(evidence.too_little(gentlest), ratio.high))
    if low > ratio.low:
        reasons.append(f"{name}: ratios from {ratio.low:g} begin at {low:g}, the share {_before(gentlest, layers)}")
    return Range(low=low, high=ratio.high)


def _before(gentlest: int, layers: range) -> str:
    """Where and why too little is too little."""
    others = f", of layers {layers[0]} to {layers[-1]} the one that allows most" if len(layers) > 1 else ""
    return f"before layer {gentlest}{others}, where every method was harmful at that share"


def _off(threshold: Range, evidence: Evidence, layers: range) -> float:
    """The highest threshold that merges anything to speak of before any of the layers, with any window."""
    grid = [value for value in _grid(threshold) if value <= 1]
    merging = [value for value in grid if any(evidence.kept(n, value, most=False) < 1 - NOTHING for n in layers)]
    return max(merging, default=threshold.low)


def _left_by(largest: int | Choices) -> float:
    """The share of tokens that the largest groups leave; 0 where there may be groups of any size."""
    sizes = largest.choices if isinstance(largest, Choices) else (largest,)
    return 0.0 if 0 in sizes else 1 / max(sizes)


def _lowest(grid: list[float], evidence: Evidence, layer: int, bound: float) -> float:
    """The lowest threshold that keeps enough before a layer, even with the window that merges least."""
    enough = evidence.too_little(layer) - 1e-9  # rounding rules nothing out
    return next((value for value in grid if max(evidence.kept(layer, value, most=True), bound) >= enough), grid[-1])


def _grid(values: Range) -> Iterator[float]:
    """The values that a trial can draw."""
    for step in range(round((values.high - values.low) / STEP) + 1):
        yield round(values.low + step * STEP, 4)


def _listed(layers: list[int]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
