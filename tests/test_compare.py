"""Methods at matched prefill FLOPs: spaces of one shape, cells, contrasts, the verdict, tables, the whole command."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.test_selection import judgement, policy
from tuner.cli import main
from tuner.compare import spaces, tables
from tuner.compare.cell import begin_with, choose
from tuner.compare.contrast import contrasts, verdict
from tuner.compare.found import Compared, Entry
from tuner.compare.plan import COST, Cell, Plan
from tuner.compare.write import write
from tuner.errors import SearchError
from tuner.evaluate import breakeven
from tuner.evaluate.costing import COSTS
from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.methods.known import METHODS
from tuner.search.outcome import Judgement
from tuner.search.settings import Settings
from tuner.tasks.metric import ACCURACY, WER, Metric

N = 60
SMALL = [
    *("compare", "--model", "reference", "--device", "cpu", "--limit", "4", "--test-limit", "6"),
    *("--trials", "2", "--finalists", "1"),
]


def evaluation(name: str, wrong: int, metric: Metric = WER, nats: float | None = None) -> Evaluation:
    """Of `N` utterances of one word, the first `wrong` of which are not right; the baseline's answer to each is by
    `nats` unlikely, by a little more or less from one to the next."""
    rising = metric.rises
    wobble = [None if nats is None else nats * (1 + 0.1 * (i % 3)) for i in range(N)]
    records = [
        UtteranceRecord(str(i), 1.0, "x", (float((i < wrong) != rising), 1.0, 0.0), (9,), (8,), 3, False, (), wobble[i])
        for i in range(N)
    ]
    return Evaluation(name, "test", tuple(records), 1.0, metric=metric)


def entry(method: str, budget: float | None, wrong: int | None, reason: str = "") -> Entry:
    """A method with so many errors, each under a policy of its own; None for one that is infeasible."""
    judged = None
    if wrong is not None:
        own = policy(round(0.5 + wrong / 1000, 3))
        costs = dict.fromkeys(COSTS, budget or 0.65)
        judged = replace(judgement(0.01, 0.7), policy=own, costs=costs, difference=wrong / N, ci95=(0.0, 0.5))
    return Entry(method, budget, 0 if budget is None else 20, 7, 3.0, judged, 0.8, reason)


def compared(*entries: Entry, metric: Metric = WER) -> Compared:
    """What a comparison makes of them."""
    wrong = {one.judged.policy.hash: round(one.judged.difference * N) for one in entries if one.judged}
    found = tuple(contrasts("affinity", entries, lambda one: evaluation(one.hash, wrong[one.hash], metric)))
    return Compared(
        "reference", "asr", metric.name, "made-up", "test", "selection", N, 0.05, 20, "affinity", entries, found,
        verdict("affinity", entries, found, metric),
    )  # fmt: skip


@pytest.mark.parametrize("layers", [12, 32])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_three_sites_whose_last_one_spends_the_budget(method: str, layers: int) -> None:
    strength = spaces.strength_of(method)
    free, single = spaces.spread(method, 0.6), spaces.at_input(method)
    alone = single.sites_of({f"{strength}.0": 0.62}, layers)

    assert [site.layer for site in free.strongest(layers)] == [0, round(0.1 * (layers - 1)), round(0.5 * (layers - 1))]
    assert set(free.solvable(layers)) == {f"{strength}.2"}
    assert set(single.solvable(layers)) == set(single.distributions(layers)) == {f"{strength}.0"}
    assert free.identity(layers) is not None
    assert free.express(alone, "last", layers) is not None
    least = free.strongest(layers)[0].settings[strength]
    assert least == 0.6  # more would save more than is asked for


def test_a_method_is_searched_with_the_attention_that_is_asked_for() -> None:
    plan = Plan(Settings("reference", {COST: 1.0}))
    assert plan.methods[0] == "affinity+proportional"
    assert {*METHODS} < {*plan.methods}
    for made in (spaces.at_input, lambda method: spaces.spread(method, 0.6)):
        plain, counting = made("samap"), made("samap+proportional")
        assert not plain.proportional
        assert counting == plain.model_copy(update={"proportional": True, "name": counting.name})
    with pytest.raises(SearchError, match="each with or without"):
        Plan(plan.search, ("affinity+size",))


def test_cells_are_every_method_at_every_budget_with_the_same_search() -> None:
    settings = Settings("reference", {COST: 1.0}, trials=9)
    plan = Plan(settings, ("affinity", "stride"), (0.5, 0.7, 0.5))
    cells = [(cell.method, cell.budget) for cell in plan.cells()]
    assert cells == [("affinity", 0.7), ("stride", 0.7), ("affinity", 0.5), ("stride", 0.5)]
    searches = [plan.search_within(cell.budget) for cell in plan.cells()]
    assert {one.trials for one in searches} == {9}
    assert [one.budgets for one in searches] == [{COST: 0.7}, {COST: 0.7}, {COST: 0.5}, {COST: 0.5}]


def test_a_search_begins_with_the_choice_under_the_next_higher_budget() -> None:
    known = [
        entry("stride", 0.9, 1), entry("stride", 0.8, 2), entry("norm", 0.7, 3), entry("stride", 0.6, None),
        entry("stride", 0.5, 4), entry("paper", None, 5),
    ]  # fmt: skip
    assert known[1].judged is not None
    assert begin_with(Cell("stride", 0.55), known) == known[1].judged.policy
    assert begin_with(Cell("stride", 0.9), known) is None


@pytest.mark.parametrize("one", [entry("stride", 0.7, 3), entry("paper", None, 3), entry("norm", 0.5, None, "why")])
def test_entries_come_back_from_their_file(one: Entry) -> None:
    assert Entry.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    ("judged", "place"),
    [
        ([(judgement(0.01, 0.7), 0.2), (judgement(0.02, 0.7), 0.1)], 1),
        ([(replace(judgement(0.01, 0.7), loops=True), 0.1), (judgement(0.02, 0.7), 0.2)], 1),
        ([(replace(judgement(0.01, 0.7), loops=True), 0.2), (replace(judgement(0.02, 0.7), loops=True), 0.1)], 1),
        ([(judgement(0.01, 0.8, feasible=False), 0.1), (judgement(0.02, 0.75, feasible=False), 0.2)], 1),
    ],
    ids=["what drifts least", "does not loop", "else the best that loops", "else the cheapest"],
)
def test_a_methods_choice_is_shown_whatever_it_keeps(judged: list[tuple[Judgement, float]], place: int) -> None:
    assert choose(judged).ci95 == judged[place][0].ci95


@pytest.mark.parametrize("metric", [WER, ACCURACY], ids=["errors", "right answers"])
@pytest.mark.parametrize(
    ("own", "rival", "result"), [(5, 20, "better"), (20, 5, "worse"), (10, 11, "undecided"), (5, None, "unmatched")]
)
def test_a_contrast_says_what_its_whole_interval_says(own: int, rival: int | None, result: str, metric: Metric) -> None:
    found = compared(entry("affinity", 0.7, own), entry("stride", 0.7, rival), metric=metric)
    (contrast,) = found.contrasts
    assert contrast.result == result
    if rival is not None:
        assert contrast.difference == pytest.approx((own - rival) / N)


@pytest.mark.parametrize(
    ("own", "rival", "result"), [(0.1, 0.3, "better"), (0.3, 0.1, "worse"), (0.1, 0.1, "undecided")]
)
def test_drift_tells_apart_what_errors_do_not(own: float, rival: float, result: str) -> None:
    entries = entry("affinity", 0.7, 10), entry("stride", 0.7, 11)
    drifts = {one.judged.policy.hash: nats for one, nats in zip(entries, (own, rival), strict=True) if one.judged}
    (found,) = contrasts("affinity", entries, lambda one: evaluation(one.hash, 10, nats=drifts[one.hash]))
    assert found.result == "undecided"
    assert found.drift is not None
    assert found.drift.value == pytest.approx(1.1 * (own - rival), rel=0.02)
    counts = [f"surely {kind} in {int(kind == result)}" for kind in ("better", "worse")]
    assert all(count in verdict("affinity", entries, [found], WER)[1] for count in counts)


@pytest.mark.parametrize(
    ("rivals", "says"),
    [
        ({("stride", 0.7): 40, ("norm", 0.7): 30}, "beats every rival at every budget: 2 of 2"),
        ({("stride", 0.7): 40, ("norm", 0.7): 2}, "surely better in 1, surely worse in 1 (norm at 0.7), and in 0"),
        ({("stride", 0.7): 40, ("norm", 0.7): 16}, "surely better in 1, surely worse in 0, and in 1"),
        ({("stride", 0.7): None}, "not held against any rival"),
    ],
)
def test_the_verdict_says_who_wins_where(rivals: dict[tuple[str, float], int | None], says: str) -> None:
    entries = [entry("affinity", 0.7, 15), *(entry(*cell, wrong) for cell, wrong in rivals.items())]
    whole, at_once = compared(*entries).verdict
    assert says in whole
    best = min((one.judged.difference, one.method) for one in entries if one.judged)[1]
    assert f"At 0.7: lowest WER: {best}." in at_once


def test_tables_tell_what_is_infeasible_and_the_files_are_written(tmp_path: Path) -> None:
    reason = "the smallest ratio that it can reach is 0.612"
    found = compared(
        entry("affinity", 0.7, 5),
        entry("stride", 0.7, 30),
        entry("affinity", 0.5, 9),
        entry("stride", 0.5, None, reason),
        entry("paper 0.8/0.7", None, 12),
    )
    console = Console(width=100, file=io.StringIO())
    console.print(tables.terminal(found))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "infeasible" in printed
    assert "10.00-" in printed  # stride at 0.7, against which affinity is surely better
    page = tables.markdown(found, "tune compare")
    assert reason in page
    assert "measured once on test" in page
    assert "which flatters" in tables.baseline(replace(found, chosen_on="test"))
    assert {path.name for path in write(found, "tune compare", tmp_path)} == {
        "compare.json",
        "compare.md",
        "compare.png",
    }
    written = json.loads((tmp_path / "compare.json").read_text())
    assert [one["result"] for one in written["contrasts"]] == ["better", "unmatched"]


@pytest.mark.slow
def test_a_comparison_is_matched_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakeven, "TURNS", 1)  # what is measured does not matter here
    runs, run = str(tmp_path / "runs"), tmp_path / "runs" / "rivals"
    arguments = [*SMALL, "--methods", "affinity,stride", "--runs", runs, "--run", "rivals"]
    first = CliRunner().invoke(main, [*arguments, "--budgets", "0.8"])
    assert first.exit_code == 0, first.output
    assert {"config.yaml", "compare.json", "compare.md", "compare.png"} <= {path.name for path in run.iterdir()}
    assert not list((run / "cells").iterdir())  # the ledger has what is worth keeping
    found = json.loads((run / "compare.json").read_text(encoding="utf-8"))
    searched = {one["method"]: one for one in found["entries"] if one["budget"] is not None}
    assert {name: one["trials"] for name, one in searched.items()} == {"affinity": 2, "stride": 2}
    assert {(one["judged"]["split"], one["judged"]["n"]) for one in found["entries"]} == {("test", 6)}
    assert {site["method"] for site in searched["stride"]["judged"]["policy"]["sites"]} == {"stride"}
    assert len(found["entries"]) == 4  # with both presets

    # Interrupted while the last line was written; asked for one budget more.
    ledger = run / "entries.jsonl"
    lines = ledger.read_text(encoding="utf-8").splitlines()
    ledger.write_text("\n".join([*lines[:-1], lines[-1][:50]]), encoding="utf-8")
    again = CliRunner().invoke(main, [*arguments, "--budgets", "0.8,0.7"])
    assert again.exit_code == 0, again.output
    relined = ledger.read_text(encoding="utf-8").splitlines()
    assert relined[:3] == lines[:3]
    cells = [(one["method"], one["budget"]) for one in map(json.loads, relined)][2:]
    assert cells == [("affinity", 0.8), ("stride", 0.8), ("affinity", 0.7), ("stride", 0.7)]

    further = [*arguments, "--methods", "stride+proportional,stride", "--budgets", "0.8"]
    assert CliRunner().invoke(main, further).exit_code == 0
    found = json.loads((run / "compare.json").read_text(encoding="utf-8"))
    assert [one["rival"] for one in found["contrasts"]] == ["stride"]
    policies = {one["method"]: one["judged"]["policy"] for one in found["entries"] if one["budget"] is not None}
    assert policies["stride+proportional"]["proportional"]
    assert not policies["stride"]["proportional"]

    elsewhere = [*SMALL, "--runs", runs, "--chosen-by", "rivals", "--run", "elsewhere", "--test-limit", "4"]
    there = CliRunner().invoke(main, [*elsewhere, "--methods", "stride", "--budgets", "0.8,0.6"])
    assert there.exit_code == 0, there.output
    measured = json.loads((run.parent / "elsewhere" / "compare.json").read_text(encoding="utf-8"))
    ((policy_there, utterances),) = [
        (one["judged"]["policy"], one["judged"]["n"]) for one in measured["entries"] if one["budget"] is not None
    ]
    assert (policy_there["sites"], utterances) == (policies["stride"]["sites"], 4)
    assert measured["chosen_on"] == "reference/selection"
    nothing = CliRunner().invoke(main, [*elsewhere, "--methods", "norm"])
    assert "it compared stride+proportional, stride at 0.8" in " ".join(nothing.output.split())

    other = CliRunner().invoke(main, [*arguments, "--budgets", "0.8", "--seed", "1"])
    assert "made for another seed" in " ".join(other.output.split())
