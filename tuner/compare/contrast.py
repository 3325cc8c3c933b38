"""One method against its rivals, utterance by utterance, and what that amounts to in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tuner.compare.found import Contrast, Entry, Result
from tuner.evaluate.records import Evaluation
from tuner.evaluate.statistics import Interval, paired_difference, ratio_of_sums
from tuner.policy import Policy
from tuner.search.drift import nats
from tuner.tasks.metric import Metric

_SAID = {"better": "better than", "undecided": "not told apart from", "worse": "worse than"}


def contrasts(
    champion: str, entries: Sequence[Entry], recorded: Callable[[Policy], Evaluation | None]
) -> Iterator[Contrast]:
    """`champion` against every rival at every budget that both were searched for; `recorded` tells what a policy was
    measured by."""
    for own in (one for one in entries if one.method == champion):
        for rival in entries:
            if rival.budget is None or rival.budget != own.budget or rival is own:
                continue
            pair = [None if one.judged is None else recorded(one.judged.policy) for one in (own, rival)]
            if pair[0] is None or pair[1] is None:
                yield Contrast(rival.method, rival.budget, "unmatched")
                continue
            found = paired_difference(pair[0].statistics, pair[1].statistics, pair[0].metric)
            drift = _drift(pair[0], pair[1])
            yield Contrast(rival.method, rival.budget, result(found), found.value, found.low, found.high, drift)


def result(difference: Interval) -> Result:
    """What the whole interval of a difference of losses says."""
    if difference.high < 0:
        return "better"
    return "worse" if difference.low > 0 else "undecided"


def verdict(champion: str, entries: Sequence[Entry], found: Sequence[Contrast], metric: Metric) -> tuple[str, ...]:
    """The whole result in one sentence, what drift says of it in another, then one for each budget."""
    levels = sorted({one.budget for one in entries if one.budget is not None}, reverse=True)
    at_each = [sentence for budget in levels for sentence in _at(budget, champion, entries, found, metric)]
    return _whole(champion, found), *_by_drift(champion, found), *at_each


def _whole(champion: str, found: Sequence[Contrast]) -> str:
    matched = [one for one in found if one.result != "unmatched"]
    if not matched:
        return f"Searched {champion} was not held against any rival."
    results = [one.result for one in matched]
    if results.count("better") == len(matched):
        return f"Searched {champion} beats every rival at every budget: {len(matched)} of {len(matched)}."
    return (
        f"Searched {champion} does not beat every rival at every budget: of {len(matched)} comparisons it is "
        f"{_counted(matched, results)}."
    )


def _by_drift(champion: str, found: Sequence[Contrast]) -> Iterator[str]:
    asked = [(one, result(one.drift)) for one in found if one.drift is not None]
    if asked:
        those, results = zip(*asked, strict=True)
        yield (
            f"By drift, which is smooth and so tells apart what few errors do not: of {len(asked)} comparisons "
            f"{champion} is {_counted(those, results)}."
        )


def _counted(found: Sequence[Contrast], results: Sequence[Result]) -> str:
    worse = [f"{one.rival} at {one.budget:g}" for one, said in zip(found, results, strict=True) if said == "worse"]
    named = f" ({', '.join(worse)})" if worse else ""
    return (
        f"surely better in {results.count('better')}, surely worse in {len(worse)}{named}, and in "
        f"{results.count('undecided')} the data do not tell them apart"
    )


def _drift(own: Evaluation, rival: Evaluation) -> Interval | None:
    """By how many nats a word, or a question, the one drifts further from the baseline's answers than the other."""
    one, other = nats(own), nats(rival)
    return ratio_of_sums(one - other, own.sizes) if np.isfinite(one + other).all() else None


def _at(
    budget: float, champion: str, entries: Sequence[Entry], found: Sequence[Contrast], metric: Metric
) -> Iterator[str]:
    judged = [(one.judged.difference, one.method) for one in entries if one.budget == budget and one.judged]
    own = [one for one in found if one.budget == budget]
    parts = [
        f"{said} {', '.join(one.rival for one in those)}"
        for kind, said in _SAID.items()
        if (those := _those(own, kind))
    ]
    best = (
        f"{'highest' if metric.rises else 'lowest'} {metric.title}: {min(judged)[1]}" if judged else "no method kept it"
    )
    yield f"At {budget:g}: {best}." + (f" {champion} is {'; '.join(parts)}." if parts else "")


def _those(found: Sequence[Contrast], kind: str) -> list[Contrast]:
    return [one for one in found if one.result == kind]
