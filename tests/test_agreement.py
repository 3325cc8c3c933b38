"""Judging without texts: the baseline's own transcripts stand in for them."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tuner.data.sources import load
from tuner.data.utterances import Utterance
from tuner.errors import DataError, SearchError
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.report import facts
from tuner.search.agreement import check_own, judged_by
from tuner.search.run import search
from tuner.search.settings import Settings
from tuner.tasks.asr import TASK
from tuner.tasks.known import get

SILENT = Utterance("a", None, None, 1.0, b"")


def evaluation(*texts: str) -> Evaluation:
    """The baseline's answers to speech that nobody wrote down."""
    task = judged_by("agreement", TASK)
    records = [
        UtteranceRecord(str(i), 1.0, text, task.statistics(SILENT, text), (9,), (5,), 3, False)
        for i, text in enumerate(texts)
    ]
    return Evaluation("", "dev", tuple(records), 1.0)


def test_the_baseline_agrees_with_itself_in_every_word() -> None:
    records = evaluation("Red, green!", "", "blue").records

    assert [record.statistics[:2] for record in records] == [(0, 2), (0, 0), (0, 1)]


def test_words_where_the_baseline_said_nothing_are_errors() -> None:
    assert judged_by("agreement", TASK).statistics(SILENT, "not silence", own="") == (2, 0, 0)


def test_a_silent_baseline_cannot_be_agreed_with() -> None:
    with pytest.raises(SearchError, match="nothing about any of the 2 utterances of dev"):
        check_own(evaluation("", "uh"))


def test_broken_transcripts_of_the_baseline_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_own(evaluation("one", "two"))
        assert not caplog.records
        check_own(evaluation("one", "", "two", "three"))
    assert "25.0%" in caplog.text


@pytest.mark.parametrize(("metric", "rate"), [(None, "wer"), ("wer", "wer"), ("agreement", "disagreement")])
def test_the_metric_names_the_rate(metric: str | None, rate: str) -> None:
    task = judged_by(metric, TASK)

    assert task.metric.name == rate
    assert (task.name, task.prompt, task.transcribes) == (TASK.name, TASK.prompt, TASK.transcribes)
    assert task.max_new_tokens(2.0) == TASK.max_new_tokens(2.0)


def test_an_unknown_metric_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(SearchError, match="'bleu' is not known for asr; there are: wer, agreement"):
        Settings("no-such-model", {"kv_cache": 0.7}, metric="bleu")


@pytest.mark.slow
def test_bare_audio_is_enough_for_a_search(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    for place, one in enumerate(load("reference", split="search", limit=8).utterances):
        assert isinstance(one.source, Path)
        shutil.copy(one.source, audio / f"{place}{one.source.suffix}")
    settings = Settings(
        model="reference",
        budgets={"prefill_flops": 0.95},
        dataset=str(audio),
        trials=3,
        finalists=1,
        run="bare",
        runs=tmp_path / "runs",
        policies=tmp_path / "policies",
        device="cpu",
    )
    with pytest.raises(DataError, match="--metric agreement"):
        search(settings)

    outcome = search(replace(settings, metric="agreement"))
    assert outcome.metric == "disagreement"
    assert re.search(r"\d \(.*search\), \d \(.*selection\) utterances are too few to trust", caplog.text)
    assert "the choice was made on this very speech" in facts.verdict(outcome).lower()
    said: dict[str, str] = {}
    for part in ("candidates", "selection"):
        records = {path.stem: json.loads(path.read_text()) for path in (outcome.run / part).glob("*.json")}
        heard = {name: Evaluation.from_json(found["evaluation"]) for name, found in records.items()}
        [own] = [name for name, found in records.items() if not found["policy"]["sites"]]
        said = {record.id: record.text for record in heard[own].records}
        assert heard[own].quality == 0
        assert heard[own].sizes.sum() > 0
        for record in (record for one in heard.values() if one.decoded for record in one.records):
            assert record.statistics == TASK.strays(said[record.id], record.text)
        assert len(heard) > 1
    assert all(one.baseline == 0 for one in outcome.judgements)
    assert outcome.policy_file == tmp_path / "policies" / "reference-asr-agreement-0.95.yaml"
    assert yaml.safe_load(outcome.policy_file.read_text())["measured"]["metric"] == "disagreement"
    assert "disagreement" in (outcome.run / "report" / "report.html").read_text(encoding="utf-8")

    with pytest.raises(SearchError, match="metric: it has disagreement, now wer"):
        search(replace(settings, dataset="reference", limit=4), resume=outcome.run)


@pytest.mark.parametrize(
    ("task", "own", "said", "expected"),
    [
        ("asr", "two cups", "2 cup", (1, 2, 1)),
        ("qa", "The red one.", "red one", (0, 1, 0)),
        ("translation", "¡Dos tazas, por favor!", "dos vasos por favor", (1, 4, 1)),
    ],
)
def test_every_task_can_be_judged_by_agreement(task: str, own: str, said: str, expected: tuple[float, ...]) -> None:
    assert judged_by("agreement", get(task)).statistics(SILENT, said, own) == expected


def test_translation_can_be_judged_by_chrf() -> None:
    settings = Settings("reference", {"kv_cache": 0.7}, task="translation", metric="chrf")

    assert settings.judged.metric.title == "chrF"
    assert settings.policy_name == "reference-translation-chrf-kv-cache-0.70"
