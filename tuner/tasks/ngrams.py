"""BLEU and chrF, from counts of n-grams that add up over utterances; the counting is sacrebleu's.

Formulas: BLEU as in https://aclanthology.org/P02-1040 with the smoothing and the 13a tokenizer that are sacrebleu's
defaults (nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp), chrF2 as in https://aclanthology.org/W15-3049
(nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tuner.tasks.metric import Metric, Statistics, Values, register

ORDERS, CHARACTERS = 4, 6  # the longest n-grams of words and of characters
_BLEU = 2 + 2 * ORDERS  # statistics of BLEU, behind which those of chrF stand
_BETA = 2  # recall counts so many times as much as precision


@dataclass(frozen=True)
class Bleu(Metric):
    """Statistics: words said, words of the reference, matches by order, n-grams said by order."""

    def value(self, sums: Values) -> Values:
        said, wanted = sums[..., 0], sums[..., 1]
        matches, there = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS : _BLEU]
        with np.errstate(divide="ignore", invalid="ignore"):
            # An order without a match counts as half a match, the next one as a quarter ...
            smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1)) / there
            geometric = np.exp(np.log(smoothed).mean(axis=-1))
            brevity = np.exp(np.minimum(1 - wanted / said, 0))
            whole = brevity * geometric
        speaks = (there > 0).all(axis=-1) & (matches > 0).any(axis=-1)
        return np.where(speaks, whole, 0.0)


@dataclass(frozen=True)
class Chrf(Metric):
    """Statistics behind BLEU's: for each order, n-grams of characters said, of the reference, and matches."""

    def value(self, sums: Values) -> Values:
        counts = sums[..., _BLEU:].reshape(*sums.shape[:-1], CHARACTERS, 3)
        said, wanted, matches = counts[..., 0], counts[..., 1], counts[..., 2]
        used = (said > 0) & (wanted > 0)
        orders = np.maximum(used.sum(axis=-1), 1)
        precision = np.where(used, matches / np.maximum(said, 1), 0).sum(axis=-1) / orders
        recall = np.where(used, matches / np.maximum(wanted, 1), 0).sum(axis=-1) / orders
        weighed = _BETA**2 * precision + recall
        return np.asarray((1 + _BETA**2) * precision * recall / np.where(weighed > 0, weighed, 1))


BLEU = register(Bleu("bleu", "BLEU", rises=True, unit="", beside="chrf", width=_BLEU + 3 * CHARACTERS))
CHRF = register(Chrf("chrf", "chrF", rises=True, unit="", beside="bleu", width=_BLEU + 3 * CHARACTERS))


def count(reference: str, said: str) -> Statistics:
    """What both metrics add up, of one answer: 10 numbers for BLEU, then 18 for chrF."""
    bleu, chrf = _counters()
    found = bleu.corpus_score([said], [[reference]])
    words = (found.sys_len, found.ref_len, *found.counts, *found.totals)
    # The only place where sacrebleu tells chrF's counts.
    (characters,) = chrf._extract_corpus_statistics([said], [[reference]])
    return tuple(float(number) for number in (*words, *characters))


@cache
def _counters() -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU as WORDS
    from sacrebleu.metrics import CHRF as LETTERS

    return WORDS(), LETTERS()
