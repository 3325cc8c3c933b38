"""Metrics from sums: what sacrebleu says of a whole corpus, what each direction means, and old records."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sacrebleu import corpus_bleu, corpus_chrf

from tuner.data.utterances import Utterance
from tuner.errors import TunerError
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.tasks.metric import ACCURACY, CLAMPED, DISAGREEMENT, WER, Metric, Rate, named, register
from tuner.tasks.ngrams import BLEU, CHRF
from tuner.tasks.translation import TASK

CORPORA = {
    "alike": (["la casa es roja y grande", "El perro duerme."], ["la casa es roja", "el perro duerme hoy."]),
    "the same": (["la casa es roja", "el perro duerme hoy"],) * 2,
    "no four words in a row": (["a b x d e f", "g h"], ["a b c d e f", "g z"]),
    "only single words": (["b a d c", "x y"], ["a b c d", "w z"]),
    "nothing in common": (["x", "y y"], ["la casa", "es roja"]),
    "too short for four words": (["la casa", "roja"], ["la casa", "roja"]),
    "silence": (["", ""], ["la casa", "es roja"]),
    "one is silent": (["", "es roja y muy grande"], ["la casa", "es roja y muy grande"]),
    "too long": (["la casa es roja " * 9], ["la casa es roja"]),
    "other letters": (["¿cuántos cafés, señor? mañana, 1,5"], ["¿cuantos cafés, señor? mañana 1,5"]),
}


@pytest.mark.parametrize("name", CORPORA)
def test_sums_of_statistics_give_sacrebleus_corpus_scores(name: str) -> None:
    said, references = CORPORA[name]
    scores = [
        TASK.score(Utterance("a", None, None, 1.0, b"", translation=reference), one)
        for reference, one in zip(references, said, strict=True)
    ]
    sums = np.sum(scores, axis=0)

    assert 100 * float(BLEU.value(sums)) == pytest.approx(corpus_bleu(said, [references]).score, abs=1e-9)
    assert 100 * float(CHRF.value(sums)) == pytest.approx(corpus_chrf(said, [references]).score, abs=1e-9)
    both = BLEU.value(np.stack([sums, 2 * sums]))
    assert both.shape == (2,)
    assert both[0] == BLEU.value(sums)


@pytest.mark.parametrize(
    ("metric", "good", "bad", "loss"),
    [
        (WER, [1, 10, 1], [3, 10, 3], 0.1),
        (CLAMPED, [90, 10, 1], [90, 10, 3], 0.1),
        (DISAGREEMENT, [1, 10, 1], [3, 10, 3], 0.1),
        (ACCURACY, [9, 10], [7, 10], 0.1),
    ],
    ids=lambda value: value.name if isinstance(value, Metric) else None,
)
def test_losses_rise_as_quality_falls(metric: Metric, good: list[float], bad: list[float], loss: float) -> None:
    better, worse = np.array(good, float), np.array(bad, float)

    assert metric.loss(better) == pytest.approx(loss)
    assert metric.worsening(worse, better) == pytest.approx(0.2)
    assert metric.change(0.2) == pytest.approx(float(metric.value(worse) - metric.value(better)))
    assert metric.change_of((0.1, 0.3)) == ((-0.3, -0.1) if metric.rises else (0.1, 0.3))
    assert math.copysign(1, metric.change(0.0)) == 1  # shown as +0.00


@pytest.mark.parametrize(
    ("metric", "heading"), [(WER, "WER, %"), (ACCURACY, "Accuracy, %"), (BLEU, "BLEU"), (CHRF, "chrF")]
)
def test_headings(metric: Metric, heading: str) -> None:
    assert metric.heading == heading
    assert named(metric.name) == metric


def test_names_are_unique() -> None:
    with pytest.raises(TunerError, match="two metrics are called 'wer'"):
        register(Rate("wer", "another"))
    with pytest.raises(TunerError, match="no metric is called 'werr'; known are accuracy, bleu"):
        named("werr")


def record(statistics: tuple[float, ...]) -> UtteranceRecord:
    return UtteranceRecord("a", 1.0, "x", statistics, (9, 9), (5, 5), 2, False, (4, 1), 0.5)


@pytest.mark.parametrize(
    "evaluation",
    [
        Evaluation("p", "dev", (record((1, 4, 1)),), 1.0),
        Evaluation("p", "dev", (record((1.0, 1.0)),), 1.0, metric=ACCURACY),
        Evaluation("p", "dev", (record(()),), 1.0, decoded=False, metric=BLEU),
    ],
    ids=["wer", "accuracy", "undecoded"],
)
def test_evaluations_survive_a_file(evaluation: Evaluation) -> None:
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    assert math.isnan(evaluation.quality) is not evaluation.decoded


def test_records_of_before_there_were_other_metrics_are_read() -> None:
    written = Evaluation("p", "dev", (record((7, 4, 4)),), 1.0).to_json()
    del written["metric"]
    (row,) = written["records"]
    del row["statistics"]
    found = Evaluation.from_json({**written, "records": [{**row, "errors": 7, "total": 4}]})

    assert found == Evaluation("p", "dev", (record((7, 4, 4)),), 1.0)
    assert (found.quality, found.beside) == (7 / 4, 1.0)
