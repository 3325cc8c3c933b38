"""Ctrl-C at every moment of a search: nothing finished is lost, nothing is left half written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tuner.search.interrupt import CtrlC
from tuner.search.run import search
from tuner.search.settings import Settings


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_held_back_until_it_can_be_heard() -> None:
    with CtrlC() as ctrl_c:
        with pytest.raises(KeyboardInterrupt), ctrl_c.heard():
            press()
        press()  # held back
        with pytest.raises(KeyboardInterrupt), ctrl_c.heard():
            pytest.fail("what was pressed before is heard at once")
        with pytest.raises(KeyboardInterrupt):  # the second one is not held back
            press()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_callers_own_handler_stays() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with CtrlC():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["_run_trial", "_tell_with_warning"])
def test_a_search_survives_ctrl_c_in_the_sampler_and_in_the_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    calls = 0
    genuine: Callable[..., object] = getattr(optuna.study._optimize, moment)

    def interrupted(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            press()
        return genuine(*args, **options)

    monkeypatch.setattr(optuna.study._optimize, moment, interrupted)
    settings = Settings(
        "reference",
        {"prefill_flops": 0.9},
        limit=6,
        trials=50,
        finalists=2,
        run="stopped",
        runs=tmp_path / "runs",
        policies=tmp_path / "policies",
        device="cpu",
    )
    outcome = search(settings)
    finished = {"_run_trial": 3, "_tell_with_warning": 4}[moment]
    assert sum(trial.number >= 0 for trial in outcome.trials) == finished
    assert outcome.policy_file is not None
