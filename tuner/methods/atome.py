"""Adjacent token merging (A-ToMe), https://arxiv.org/abs/2306.16009: pairs of neighbours whose keys are alike.

Made for the layers of an encoder, where it merges after attention; here it merges before the layer whose keys it looks
at. Pairs are the first and second, third and fourth, ... token of a run, so one site halves a run at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuner.methods.base import Grouping, Seen
from tuner.methods.keys import key_similarity
from tuner.methods.shares import Runs, highest, share


@dataclass(frozen=True)
class AToMe:
    """Merges pairs from a similarity on, or the most similar ones to a ratio.

    Attributes:
        threshold: cosine similarity of the keys, -1 to 1, from which on a pair merges.
        ratio: the share of an utterance's tokens that is kept, as far as pairs allow. One of the two is given.
    """

    threshold: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.ratio is None):
            raise ValueError("method 'atome' takes either 'threshold' or 'ratio'")

    def __call__(self, seen: Seen) -> Grouping:
        """Joins the second of each pair that merges to the first."""
        similar, pairs = key_similarity(seen.attend()), _seconds(seen.mergeable)
        if self.threshold is not None:
            return Grouping(pairs & (similar >= self.threshold))
        return Grouping(highest(similar, pairs, self.goes(similar, seen.mergeable)))

    def traces(self, seen: Seen) -> Tensor | None:
        """Nothing at a ratio; at a threshold what decides are keys, which are not known beforehand."""
        return None if self.ratio is None else seen.hidden[..., :0]

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the tokens go, at a ratio."""
        free, ratio = mergeable.sum(1), 1.0 if self.ratio is None else self.ratio
        return (free - share(free, ratio)).minimum(_seconds(mergeable).sum(1))


def _seconds(mergeable: Tensor) -> Tensor:
    """[batch, tokens] bool: the second tokens of the pairs."""
    return Runs.of(mergeable).place % 2 == 1
