"""What quality is measured by: a number computed from statistics that are summed over utterances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.errors import TunerError

Statistics = tuple[float, ...]  # of one answer; what they mean is the metric's affair
Values = NDArray[np.float64]

_known: dict[str, Metric] = {}


@dataclass(frozen=True)
class Metric:
    """A corpus-level quality that depends on nothing but sums of statistics per utterance, so that a bootstrap over
    utterances can compute it anew for each resample.

    Inside a search everything is a `loss`, lower is better; what people read is the `value`, in its own direction.
    Both are fractions: 0.05 is a WER of 5 %, 0.62 is a BLEU of 62. The second statistic is how much there is to get
    right: words of the reference, or questions.

    Attributes:
        name: as options and files have it.
        title: as it is written for people.
        rises: whether it rises with quality.
        unit: what follows the hundredfold value: "%", or nothing for a score.
        beside: the name of another metric of the same statistics that is shown next to it.
        width: how many statistics there are at most.
    """

    name: str
    title: str
    rises: bool = False
    unit: str = "%"
    beside: str | None = None
    width: int = 3

    def value(self, sums: Values) -> Values:
        """The metric of sums [..., statistics], as [...]."""
        raise NotImplementedError

    def loss(self, sums: Values) -> Values:
        """The same turned so that lower is better and 0 is perfect."""
        return 1 - self.value(sums) if self.rises else self.value(sums)

    def worsening(self, sums: Values, baseline: Values) -> Values:
        """By how much the loss exceeds the baseline's, both given as sums [..., statistics]."""
        return self.loss(sums) - self.loss(baseline)

    def change(self, worsening: float) -> float:
        """A difference of losses as the difference of values that it is."""
        return 0.0 - worsening if self.rises else worsening  # never -0.0, which would be written with its sign

    def change_of(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """The same of an interval: its lower bound first."""
        low, high = sorted(map(self.change, bounds))
        return low, high

    def size(self, statistics: Values) -> Values:
        """How much there is to get right, of statistics [..., statistics]."""
        return statistics[..., 1]

    def per_size(self, amounts: Values, statistics: Values) -> float:
        """Amounts [utterances] for each word or question of the references, on the whole."""
        return float(amounts.sum()) / max(float(self.size(statistics).sum()), 1)

    @property
    def heading(self) -> str:
        """Title and unit, for the top of a column."""
        title = self.title[:1].upper() + self.title[1:] if self.title.islower() else self.title
        return f"{title}, {self.unit}" if self.unit else title


@dataclass(frozen=True)
class Rate(Metric):
    """One statistic over the second one: errors over words, right answers over questions."""

    part: int = 0

    def value(self, sums: Values) -> Values:
        return np.asarray(sums[..., self.part] / np.maximum(sums[..., 1], 1))

    def worsening(self, sums: Values, baseline: Values) -> Values:
        """References are the same for both, so their size is; a single division rounds least."""
        excess = sums[..., self.part] - baseline[..., self.part]
        return np.asarray((-excess if self.rises else excess) / np.maximum(baseline[..., 1], 1))


def register(metric: Metric) -> Metric:
    """Makes a metric known by its name.

    Raises:
        TunerError: another one is known by it.
    """
    if _known.setdefault(metric.name, metric) != metric:
        raise TunerError(f"two metrics are called {metric.name!r}; give yours another name")
    return metric


def named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        TunerError: none is known by it, perhaps because the task that brings it was not named.
    """
    from tuner.tasks import ngrams  # noqa: F401  # registers its own

    if name not in _known:
        raise TunerError(f"no metric is called {name!r}; known are {', '.join(sorted(_known))}, and those of --task")
    return _known[name]


# Statistics of all three error rates: errors, the size of the reference, and errors counted up to that size at most,
# so that an output which never ends costs no more than an empty one.
WER = register(Rate("wer", "WER", beside="clamped"))
DISAGREEMENT = register(Rate("disagreement", "disagreement", beside="clamped"))
CLAMPED = register(Rate("clamped", "clamped", part=2))
# Right answers, and questions.
ACCURACY = register(Rate("accuracy", "accuracy", rises=True))
