"""What a redundancy map says of merging at a layer, where it was probed and between such layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuner.data.splits import refuse_test
from tuner.errors import SearchError
from tuner.probe.curves import WINDOWS
from tuner.probe.effect import Effect
from tuner.probe.found import FILE, RedundancyMap

NOTHING = 0.01  # of the tokens: merging fewer saves nothing worth a trial


@dataclass(frozen=True)
class Evidence:
    """A redundancy map, asked layer by layer. Of layers between two that were probed the gentler neighbour's word
    counts, so that nothing is ruled out that was not seen to harm on both sides."""

    found: RedundancyMap

    @classmethod
    def load(cls, name: str, runs: Path, fingerprint: str, force_test: bool) -> Evidence:
        """The map of a probe's run, given by its folder or by its name under `runs`.

        Raises:
            TunerError: there is none, it is of another model, or of a test split, which a search must not see.
        """
        folder = Path(name) if (Path(name) / FILE).is_file() else runs / name
        found = RedundancyMap.load(folder)
        if found.fingerprint != fingerprint:
            raise SearchError(
                f"--from-probe {name}: it probed another model, {found.model} with fingerprint {found.fingerprint}; "
                f"this one has {fingerprint}. Probe this one"
            )
        refuse_test(found.split, force_test)
        return cls(found)

    def too_little(self, layer: int) -> float:
        """The greatest share of tokens at which every method was harmful before that layer; 0 where there is none."""
        return self._gentler(layer, self._harmful)

    def hopeless(self, layer: int) -> bool:
        """Whether every intervention before that layer was harmful, whatever it left."""
        return bool(self._gentler(layer, lambda own: float(all(self._is_harmful(one) for one in own))))

    def kept(self, layer: int, threshold: float, *, most: bool) -> float:
        """The share of tokens that affinity pooling keeps: with the narrowest window `most`, or with the widest."""
        window = min(WINDOWS) if most else max(WINDOWS)
        return next(one.at(threshold) for one in self.found.curves if (one.layer, one.window) == (layer, window))

    def _is_harmful(self, effect: Effect) -> bool:
        return effect.harm(self.found.tolerance) == "harmful"

    def _harmful(self, own: list[Effect]) -> float:
        """The greatest retention that every method was harmful at."""
        shares = {one.retention for one in own}
        return max((s for s in shares if all(self._is_harmful(one) for one in own if one.retention == s)), default=0.0)

    def _gentler(self, layer: int, says: Callable[[list[Effect]], float]) -> float:
        """The lesser of what is said of the nearest probed layers on both sides; of the layer itself if probed. Beyond
        the last probed layer nothing is known."""
        probed = sorted({one.layer for one in self.found.effects})
        before, after = [near for near in probed if near <= layer][-1:], [near for near in probed if near >= layer][:1]
        if not before or not after:
            return 0.0
        return min(says([one for one in self.found.effects if one.layer == near]) for near in (*before, *after))
