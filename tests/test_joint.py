"""Several tasks at once: the worst-off counts, every task has to keep the budgets, and each is told of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.spoken import manifest
from tests.test_judge import TokensCost
from tests.test_selection import policy
from tuner.data.batches import batches
from tuner.data.sources import load
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import DataError, SearchError, TunerError
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.search.joint import JointJudge
from tuner.search.run import search
from tuner.search.settings import Settings
from tuner.tasks.joint import FLOOR, Joint, joined
from tuner.tasks.known import get

BOTH = get("asr,qa")
ONE = Utterance("1", "red green", "anna", 1.0, b"", answers=("red",))
TWO = Utterance("2", "blue", "anna", 2.0, b"", answers=("blue",))
DATA = joined({"asr": UtteranceSet("d", "dev", (ONE, TWO)), "qa": UtteranceSet("d", "dev", (ONE,))})
HEARD, ALSO, ASKED = DATA.utterances


def scored(one: Utterance, said: str, tokens: int) -> UtteranceRecord:
    return UtteranceRecord(one.id, 1.0, said, BOTH.statistics(one, said), (tokens,), (tokens,), 1, False)


def evaluation(first: str, second: str, third: str, speech: int = 100, questions: int = 50) -> Evaluation:
    """What was said to each of the three, and the tokens of the two tasks' prompts."""
    records = (scored(HEARD, first, speech), scored(ALSO, second, speech), scored(ASKED, third, questions))
    return Evaluation("p", "dev", records, 1.0, metric=BOTH.metric)


def test_each_utterance_is_asked_for_its_task_alone() -> None:
    assert [one.id for one in DATA.utterances] == ["asr: 1", "asr: 2", "qa: 1"]
    assert [BOTH.prompt_for(one) for one in DATA.utterances] == ["Transcribe the speech."] * 2 + [
        "Answer the question."
    ]
    assert [BOTH.limit(one) for one in DATA.utterances] == [26, 36, 64]
    assert [[one.id for one in batch] for batch in batches(DATA.utterances, 8)] == [["asr: 2", "asr: 1"], ["qa: 1"]]
    assert BOTH.statistics(HEARD, "red") == (1, 2, 1, 0, 0, 0)
    assert BOTH.statistics(ASKED, "red") == (0, 0, 0, 1, 1, 0)


@pytest.mark.parametrize(
    ("baseline", "candidate", "expected"),
    [
        ([0, 100, 0, 90, 100, 0], [10, 100, 10, 90, 100, 0], 0.1),  # 10 points of a WER of 0
        ([50, 100, 50, 90, 100, 0], [60, 100, 60, 90, 100, 0], 0.2),  # of half the words that were right
        ([0, 100, 0, 50, 100, 0], [10, 100, 10, 40, 100, 0], 0.2),  # accuracy loses a fifth, words a tenth
        ([0, 100, 0, 50, 100, 0], [0, 100, 0, 60, 100, 0], 0.0),  # words stay as they are: that is the worst
        ([10, 100, 10, 50, 100, 0], [1, 100, 1, 60, 100, 0], -0.1),  # both gain, words least
        ([0, 100, 0, 2, 100, 0], [0, 100, 0, 0, 100, 0], 0.02 / FLOOR),
        ([300, 100, 100, 90, 100, 0], [310, 100, 100, 90, 100, 0], 0.1 / FLOOR),  # worse than silence before
    ],
)
def test_the_greatest_share_of_quality_lost_counts(
    baseline: list[float], candidate: list[float], expected: float
) -> None:
    found = BOTH.metric.worsening(np.array(candidate, float), np.array(baseline, float))

    assert float(found) == pytest.approx(expected)


def test_the_task_that_drifts_furthest_counts() -> None:
    statistics = np.array([BOTH.statistics(HEARD, ""), BOTH.statistics(ALSO, ""), BOTH.statistics(ASKED, "")])

    assert BOTH.metric.per_size(np.array([0.2, 0.1, 0.05]), statistics) == pytest.approx(0.1)
    assert BOTH.metric.per_size(np.array([0.2, 0.1, 0.5]), statistics) == pytest.approx(0.5)
    assert BOTH.metric.size(statistics).tolist() == [2, 1, 1]


def test_every_task_has_to_keep_the_budget() -> None:
    assert isinstance(BOTH, Joint)
    judge = JointJudge(evaluation("red green", "blue", "red"), TokensCost(), {"kv_cache": 0.8}, BOTH, DATA)
    cheap = judge.judgement("", policy(0.5), evaluation("red", "blue", "red", speech=70, questions=40))
    dear = judge.judgement("", policy(0.5), evaluation("red", "blue", "blue", speech=70, questions=45))

    assert (cheap.costs["kv_cache"], cheap.within_budget) == (0.8, True)
    assert (dear.costs["kv_cache"], dear.within_budget) == (0.9, False)
    assert [(one.task, one.metric, one.n, one.costs["kv_cache"]) for one in dear.parts] == [
        ("asr", "wer", 2, 0.7),
        ("qa", "accuracy", 1, 0.9),
    ]
    assert [one.quality for one in dear.parts] == [pytest.approx(1 / 3), 0.0]
    assert [cheap.difference, dear.difference] == pytest.approx([1 / 3, 1.0])
    part = Evaluation("p", "dev", evaluation("", "", "", speech=70).records[:1], 1.0, decoded=False)
    assert judge.costs(part)[0]["kv_cache"] == 0.7  # where only one task was heard yet


@pytest.mark.parametrize(
    ("settings", "error", "problem"),
    [
        ({"task": "asr,asr"}, TunerError, "named twice in asr, asr"),
        ({"task": "asr,no"}, TunerError, "no task is called 'no'"),
        ({"task": "asr,qa", "prompt": "Go."}, TunerError, "one instruction for 2 tasks"),
        ({"task": "asr,qa", "metric": "chrf"}, SearchError, "'chrf' is not known for asr"),
    ],
)
def test_what_cannot_be_searched_for_together(settings: dict[str, str], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        Settings("reference", {"kv_cache": 0.7}, **settings)  # type: ignore[arg-type]  # each fits its field


@pytest.mark.slow
def test_a_joint_search_tells_of_each_task(tmp_path: Path) -> None:
    settings = Settings(
        model="reference",
        budgets={"prefill_flops": 0.97},
        task="asr,qa,translation",
        dataset=str(manifest(tmp_path, count=10)),
        trials=3,
        finalists=1,
        run="joint",
        runs=tmp_path / "runs",
        policies=tmp_path / "policies",
        device="cpu",
    )
    outcome = search(settings)

    assert outcome.task == "asr+qa+translation"
    assert [[part.task for part in one.parts] for one in outcome.judgements] == [["asr", "qa", "translation"]] * 2
    rows = (outcome.run / "report" / "report.md").read_text(encoding="utf-8")
    for row in (r"\| - asr: WER, % \|", r"\| - qa: Accuracy, % \|", r"\| - translation: BLEU \|", "Worst loss"):
        assert re.search(row, rows)
    assert outcome.policy_file is not None
    assert "translation:" in outcome.policy_file.read_text(encoding="utf-8")
    for path in (outcome.run / "selection").glob("*.json"):
        ids = [record["id"] for record in json.loads(path.read_text())["evaluation"]["records"]]
        assert {name.split(": ")[0] for name in ids} == {"asr", "qa", "translation"}


def test_a_joint_search_needs_what_each_task_needs(tmp_path: Path) -> None:
    path = manifest(tmp_path, count=2)
    path.write_text(path.read_text(encoding="utf-8").replace('"answer"', '"reply"'), encoding="utf-8")
    settings = Settings("reference", {"kv_cache": 0.7}, task="asr,qa", dataset=str(path), device="cpu")

    with pytest.raises(DataError, match="has no answers; expected one of answer"):
        search(settings)
    assert len(load(str(path))) == 2
