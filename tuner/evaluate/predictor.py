"""What a policy will cost, told before it runs, from one pass of the bare model.

The first site is exact: it sees the bare model's tokens. What enters a later one is approximated by means of the bare
model's tokens at that layer, as if merging changed nothing in the layers between. How far that is off is measured by
`python -m tuner.bench.retention`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch

from tuner.errors import PolicyError
from tuner.evaluate.bands import Bands
from tuner.evaluate.entries import Band, merge
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.policy import MergeSite, Policy
from tuner.sites import AFFINITY

Keeps = Callable[[Evaluation], bool]


class Predictor:
    """Predicts the lengths of prefills from `bands`, and solves thresholds for what is wanted of them."""

    def __init__(self, bands: Bands) -> None:
        self.bands = bands

    def prefill(self, policy: Policy) -> Evaluation:
        """What `Evaluator.prefill(policy)` would record, exactly so with one site.

        Raises:
            PolicyError: a site is at a layer that the bands leave out, its window is wider than they are, or its method
                is not affinity.
        """
        tokens = self.bands.tokens
        mergeable = tokens.mergeable & (tokens.audio.sum(1, keepdim=True) >= policy.min_audio_tokens)
        opens = torch.ones_like(mergeable)
        fewer = torch.zeros(len(opens), self.bands.layers, dtype=torch.long)
        for site in policy.sites:
            opens = merge(self._band(site), opens, mergeable, site)
            fewer[:, site.layer :] = (~opens).sum(1, keepdim=True)
        real, audio = (known.sum(1, keepdim=True) - fewer for known in (tokens.real, tokens.audio))
        records = tuple(
            UtteranceRecord.unanswered(one, tuple(lengths), tuple(heard))
            for one, lengths, heard in zip(self.bands.utterances, real.tolist(), audio.tolist(), strict=True)
        )
        return Evaluation(policy.hash, self.bands.split, records, 0.0, decoded=False)

    def threshold(self, policy: Policy, number: int, thresholds: Sequence[float], keeps: Keeps) -> float:
        """The threshold for the policy's site `number` at which the predicted prefill keeps what it must, and at the
        next higher one no more; the lowest where it never does.

        Gentler merging at one site can leave later ones more to merge, so a few higher thresholds might keep it again.

        Args:
            policy: its other sites stay as they are.
            number: index in the policy's sites.
            thresholds: increasing; above 1 the site merges nothing.
            keeps: whether an evaluation is cheap enough.
        """
        return self._gentlest(thresholds, lambda threshold: with_threshold(policy, number, threshold), keeps)

    def shift(self, policy: Policy, shifts: Sequence[float], keeps: Keeps) -> float:
        """The same for a shift of all of the policy's thresholds together."""
        return self._gentlest(shifts, lambda by: shifted(policy, by), keeps)

    def _gentlest(self, values: Sequence[float], policy_at: Callable[[float], Policy], keeps: Keeps) -> float:
        too_dear = bisect_left(values, True, key=lambda value: not keeps(self.prefill(policy_at(value))))
        return values[max(too_dear - 1, 0)]

    def _band(self, site: MergeSite) -> Band:
        if site.method != AFFINITY:
            raise PolicyError(
                f"what {site.method!r} keeps at layer {site.layer} cannot be predicted from similarities of the bare "
                "model. Run it: Evaluator.prefill tells."
            )
        band = self.bands.by_layer.get(site.layer)
        if band is None:
            known = ", ".join(map(str, self.bands.by_layer))
            raise PolicyError(
                f"what a site at layer {site.layer} keeps cannot be predicted: similarities were kept at layers "
                f"{known}. Keep them at this layer too."
            )
        if site.window > (lags := band.cosines.shape[-1]):
            raise PolicyError(
                f"what the site at layer {site.layer} keeps cannot be predicted: its window is {site.window}, but "
                f"similarities were kept of tokens at most {lags} apart. Keep more lags."
            )
        return band


def with_threshold(policy: Policy, number: int, threshold: float) -> Policy:
    """The policy with another threshold at its site `number`; without the site where that is above 1."""
    sites = list(policy.sites)
    sites[number : number + 1] = _at(sites[number], threshold)
    return policy.model_copy(update={"sites": tuple(sites)})


def shifted(policy: Policy, by: float) -> Policy:
    """The policy with `by` added to every threshold; without the sites where that is above 1."""
    sites = [moved for site in policy.sites for moved in _at(site, site.threshold + by)]
    return policy.model_copy(update={"sites": tuple(sites)})


def _at(site: MergeSite, threshold: float) -> list[MergeSite]:
    rounded = round(max(threshold, -1.0), 4)
    return [site.model_copy(update={"threshold": rounded})] if rounded <= 1 else []
