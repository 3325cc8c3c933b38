"""What a model is asked: by the task, by its family's own documentation, by the utterance, by the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from tuner.data.utterances import Utterance
from tuner.errors import TunerError
from tuner.tasks.known import SHIPPED, get
from tuner.tasks.prompts import PROMPTS

REFERENCE, GRANITE = "Qwen2AudioForConditionalGeneration", "GraniteSpeechForConditionalGeneration"
SPOKEN = Utterance("a", None, None, 1.0, b"")
WRITTEN = Utterance("a", None, None, 1.0, b"", question="Which drink?")
CHOOSING = Utterance("a", None, None, 1.0, b"", question="Which drink?", choices=("tea", "coffee"))


@pytest.mark.parametrize(
    ("task", "own", "architecture", "utterance", "asked"),
    [
        ("asr", None, REFERENCE, SPOKEN, "Transcribe the speech."),
        ("asr", None, GRANITE, SPOKEN, "can you transcribe the speech into a written format?"),
        ("asr", "Write it down.", GRANITE, SPOKEN, "Write it down."),
        ("translation", None, REFERENCE, SPOKEN, "Translate to Spanish."),
        ("qa", None, REFERENCE, SPOKEN, "Answer the question."),
        ("qa", None, REFERENCE, WRITTEN, "Which drink?"),
        ("qa", None, REFERENCE, CHOOSING, "Which drink?\nA. tea\nB. coffee"),
        ("qa", "In one word.", REFERENCE, SPOKEN, "In one word."),
        ("qa", "In one word.", REFERENCE, WRITTEN, "Which drink?\nIn one word."),
        ("qa", "Q: {question} A:", REFERENCE, WRITTEN, "Q: Which drink? A:"),
        ("qa", "Q: {question} A:", REFERENCE, SPOKEN, "Answer the question."),
    ],
)
def test_prompts(task: str, own: str | None, architecture: str, utterance: Utterance, asked: str) -> None:
    found = get(task) if own is None else get(task).with_prompt(own)

    assert found.for_model(architecture).prompt_for(utterance) == asked


def test_documented_prompts_are_for_tasks_and_classes_that_there_are() -> None:
    assert set(PROMPTS) <= set(SHIPPED)
    for prompts in PROMPTS.values():
        assert all(hasattr(transformers, architecture) for architecture in prompts)


@pytest.mark.parametrize(
    ("task", "reference"), [("asr", ("tea",)), ("qa", ("a drink", "drink")), ("translation", ("té",))]
)
def test_references(task: str, reference: tuple[str, ...]) -> None:
    said = Utterance("a", "tea", None, 1.0, b"", answers=("a drink", "drink"), translation="té")

    assert get(task).reference(said) == reference
    assert get(task).reference(SPOKEN) == ()


OWN = """
from dataclasses import dataclass
from tuner.tasks.base import Task
from tuner.tasks.metric import Rate

@dataclass(frozen=True)
class Intent(Task):
    def reference(self, utterance):
        return utterance.answers

    def score(self, utterance, said):
        return float(said in utterance.answers), 1.0

TASK = Intent("intent", metric=Rate("hits", "hits", rises=True), prompt="Which intent?", column="answers")
"""


def test_a_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_intents.py").write_text(OWN, encoding="utf-8")
    found = get(str(tmp_path / "my_intents.py"))

    assert (found.name, found.metric.name, found.prompt_for(SPOKEN)) == ("intent", "hits", "Which intent?")
    assert get(str(tmp_path / "my_intents.py")) is found
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "intents.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert get("own_package.intents").name == "intent"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("none.py", None, "none.py: no such task file"),
        ("empty.py", "", "empty.py: has no TASK"),
        ("broken.py", "1 / 0", r"broken.py: cannot be run \(ZeroDivisionError"),
        ("no.such.module", None, "cannot be imported"),
        ("asrr", None, r"no task is called 'asrr'; there are: asr, qa, translation, and your own"),
    ],
)
def test_tasks_that_there_are_not(
    name: str, content: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content, encoding="utf-8")
    with pytest.raises(TunerError, match=problem):
        get(name)
