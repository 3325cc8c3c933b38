"""Progress in a file or a pipe: lines, at the ends of stages and now and then between."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.test_report import policy, trial
from tuner.report import lines
from tuner.report.calls import CallProgress
from tuner.report.progress import ProgressWatcher
from tuner.tasks.metric import WER


def console() -> Console:
    return Console(file=io.StringIO(), width=40)


def said(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_search_says_its_stages_and_who_leads() -> None:
    to = console()
    with ProgressWatcher(to, "prefill_flops", WER) as watcher:
        watcher.stage("encoding", 8)
        for _ in range(8):
            watcher.advance()
        watcher.say("judged first: [a policy] with a name that is longer than a line")
        watcher.stage("trials", 2)
        watcher.trial(trial(0, policy(), 0.0, 1.0), None)
        watcher.advance()
        watcher.trial(trial(1, policy((0, 0.8)), 0.004, 0.65), trial(1, policy((0, 0.8)), 0.004, 0.65))
        watcher.advance()
    assert said(to) == [
        "encoding 0/8",
        "encoding 8/8",
        "judged first: [a policy] with a name that is longer than a line",
        "trials 0/2",
        "trials 2/2, best +0.40 points at 0.650 prefill_flops",
    ]


@pytest.mark.parametrize(
    ("every", "expected"), [(60.0, ["done 3/3, gp"]), (0.0, [f"done {n}/3, gp" for n in (1, 2, 3)])]
)
def test_a_benchmark_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, every: float, expected: list[str]) -> None:
    monkeypatch.setattr(lines, "EVERY", every)
    to = console()
    with CallProgress(to, 3) as progress:
        for _ in range(3):
            progress.advance("gp", 1)
    assert said(to) == expected
