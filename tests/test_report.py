"""What a report says and draws, for a search that went well and for ones that did not."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from rich.console import Console

from tuner.evaluate.records import Evaluation, UtteranceRecord
from tuner.policy import MergeSite, ModelBlock, Policy
from tuner.report import facts, plots, tables
from tuner.report.write import write
from tuner.search.outcome import Judgement, Outcome, TrialResult

LAYERS = 4
EVIL = "<script>alert('x')</script> | $a$ [bold]"


def policy(*sites: tuple[int, float], name: str = "tiny-asr-0.70") -> Policy:
    """A policy with window 1 at the given (layer, threshold)."""
    model = ModelBlock(id="tiny", architecture="Tiny", layers=LAYERS, hidden_size=8, fingerprint="ab-cd")
    return Policy(name=name, model=model, sites=tuple(MergeSite(layer=layer, threshold=at) for layer, at in sites))


def trial(
    number: int, made: Policy, difference: float, cost: float, label: str = "", front: bool = False
) -> TrialResult:
    """A trial over a baseline of 4 %, feasible up to a cost of 0.7."""
    costs = {"prefill_flops": cost, "prefill_flops_audio": cost - 0.05, "kv_cache": cost + 0.01}
    return TrialResult(number, made, label, 0.04 + difference, difference, costs, cost <= 0.7, front, 1.5)


def undecoded(number: int, made: Policy, cost: float) -> TrialResult:
    """A trial that was given up before its answers were known."""
    return replace(trial(number, made, math.nan, cost), decoded=False)


def judgement(
    made: Policy, split: str, difference: float, cost: float, label: str = "", loops: bool = False
) -> Judgement:
    """A judgement with an interval of half a point to each side, a tenth of a point of its errors beyond the words."""
    return Judgement(
        label=label,
        policy=made,
        split=split,
        n=50,
        quality=0.04 + difference,
        quality_ci95=(0.03, 0.05),
        beside=0.039 + difference,
        baseline=0.04,
        difference=difference,
        ci95=(difference - 0.005, difference + 0.005),
        costs=trial(0, made, 0, cost).costs,
        broken=0.02,
        within_budget=cost <= 0.7,
        loops=loops,
    )


def finished() -> Outcome:
    """A search with a baseline, a preset, a front of two, an outlier, and the chosen policy judged on two splits."""
    chosen, cheap, preset = policy((0, 0.8)), policy((0, 0.5), (2, 0.4)), policy((0, 0.9), (3, 0.8))
    trials = (
        trial(0, policy(), 0.0, 1.0, "baseline"),
        trial(1, preset, 0.001, 0.85, "paper 0.9/0.8"),
        trial(2, chosen, 0.002, 0.69, front=True),
        trial(3, cheap, 0.011, 0.45, front=True),
        trial(4, policy((1, 0.1)), 0.9, 0.3),
        trial(5, policy((1, 0.7)), 0.004, 0.8),
    )
    judgements = (
        judgement(chosen, "dev", 0.003, 0.68),
        judgement(preset, "dev", 0.001, 0.84, "paper 0.9/0.8"),
        judgement(chosen, "test", 0.004, 0.67),
    )
    return Outcome(
        run=Path("runs/tiny"),
        model="tiny",
        task="asr",
        metric="wer",
        dataset="made up",
        budgets={"prefill_flops": 0.7},
        tolerance=0.01,
        trials=trials,
        judgements=judgements,
        chosen=chosen,
        policy_file=Path("policies/tiny-asr-0.70.yaml"),
        seconds=90.0,
        settings={"seed": 0, "command": ["tune", "--model", "tiny", "--hub-token", "hf_secret"]},
    )


def evaluation(tokens: tuple[int, ...]) -> Evaluation:
    """One utterance of two seconds with the given audio tokens in each layer."""
    return Evaluation("", "test", (UtteranceRecord("a", 2.0, "x", (0, 1, 0), tokens, tokens, 1, False),), 1.0)


CASES = {
    "finished": finished(),
    "nothing met the budget": replace(finished(), chosen=None, policy_file=None, judgements=()),
    "interrupted at once": replace(
        finished(), trials=(), judgements=(), chosen=None, policy_file=None, budgets={}, interrupted=True
    ),
    "baseline only": replace(finished(), trials=finished().trials[:1], judgements=(), chosen=None),
    "another budget": replace(finished(), budgets={"kv_cache": 0.6}, tolerance=0.0),
    "mostly given up": replace(
        finished(),
        trials=(*finished().trials, undecoded(6, policy((0, 0.2)), 0.65), undecoded(7, policy((0, 0.99)), 0.98)),
    ),
    "all given up": replace(finished(), trials=(undecoded(0, policy((0, 0.2)), 0.65),), judgements=(), chosen=None),
    "without texts": replace(finished(), metric="disagreement"),
    "hostile names": replace(finished(), model=EVIL, dataset=EVIL, settings={EVIL: EVIL}),
}


CHOSEN = policy((0, 0.8))
UNTESTED = replace(finished(), judgements=finished().judgements[:2])
WORSE = replace(finished(), judgements=(judgement(CHOSEN, "dev", 0.012, 0.68), judgement(CHOSEN, "test", -0.01, 0.68)))
UNMOVED = replace(finished(), judgements=(replace(judgement(CHOSEN, "dev", 0.0, 0.68), ci95=(0.0, 0.0)),))
SHORT = CHOSEN.model_copy(update={"min_audio_tokens": 39})
SPARING = replace(finished(), chosen=SHORT, judgements=(judgement(SHORT, "dev", 0.0, 0.69),))
LOOPING = replace(WORSE, judgements=(judgement(CHOSEN, "dev", 0, 0.67), judgement(CHOSEN, "test", 0, 0.67, loops=True)))


class Tags(HTMLParser):
    """Collects the tags of a page and fails on none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("outcome", CASES.values(), ids=CASES.keys())
def test_every_outcome_can_be_written(outcome: Outcome, tmp_path: Path) -> None:
    files = write(outcome, tmp_path / "report", evaluation((15, 15, 10, 10)), evaluation((20,) * 4))

    pictures = ["front.png", "sites.png"] if outcome.chosen else ["front.png"]
    assert [file.name for file in files] == [*pictures, "trials.csv", "report.md", "report.html"]
    page = Tags(files[-1].read_text(encoding="utf-8"))
    sources = [attributes["src"] or "" for tag, attributes in page.seen if tag == "img"]
    assert len(sources) == len(pictures)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not {"script", "link", "bold"} & {tag for tag, _ in page.seen}
    assert not any("href" in attributes for _, attributes in page.seen)
    for file in files[-2:]:
        assert "hf_secret" not in file.read_text(encoding="utf-8")
        assert "<script>" not in file.read_text(encoding="utf-8").replace("\\<script\\>", "")


def test_the_same_outcome_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(finished(), tmp_path / name) for name in ("a", "b"))

    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_each_split_begins_with_its_baseline_and_marks_the_chosen_policy() -> None:
    rows = [(row.split, row.policy, row.difference, row.chosen) for row in tables.final_rows(finished())]

    assert rows == [
        ("dev, n = 50", "baseline", "-", False),
        ("dev, n = 50", "tiny-asr-0.70", "+0.30", True),
        ("dev, n = 50", "paper 0.9/0.8 (over budget)", "+0.10", False),
        ("test, n = 50", "baseline", "-", False),
        ("test, n = 50", "tiny-asr-0.70", "+0.40", True),
    ]


def test_a_judged_baseline_is_not_listed_twice() -> None:
    outcome = replace(finished(), judgements=(judgement(policy(), "test", 0.0, 1.0, "baseline"),))

    assert [row.policy for row in tables.final_rows(outcome)] == ["baseline"]


@pytest.mark.parametrize(
    ("cost", "loops", "shown"),
    [
        (0.6, False, "paper"),
        (0.8, False, "paper (over budget)"),
        (0.6, True, "paper (loops)"),
        (0.8, True, "paper (over budget, loops)"),
    ],
)
def test_what_a_policy_does_not_keep_stands_behind_its_name(cost: float, loops: bool, shown: str) -> None:
    judged = judgement(policy((0, 0.9)), "test", 0.0, cost, "paper", loops)

    assert tables.final_rows(replace(finished(), judgements=(judged,)))[1].policy == shown


@pytest.mark.parametrize("metric", ["wer", "disagreement"])
def test_the_terminal_table_shows_every_number_in_80_columns(metric: str) -> None:
    console = Console(width=80, file=StringIO(), record=True)
    far = judgement(policy((0, 0.3)), "test", 0.3, 1.0, "a policy with much to say for itself", loops=True)
    far = replace(far, quality_ci95=(0.1234, 0.5678), ci95=(0.1034, 0.4567))
    console.print(tables.final_table(replace(finished(), metric=metric, judgements=(*finished().judgements, far))))
    shown = console.export_text()

    assert max(len(line) for line in shown.splitlines()) <= 80
    for text in (
        facts.metric(replace(finished(), metric=metric)).heading.split(",")[0],
        "/ clamped",
        "Broken",
        "Policy",
    ):
        assert text in shown
    for number in ("4.40 / 4.30", "+0.40", "67.0%", "62.0%", "68.0%", "2.0%", "12.34 to 56.78", "+10.34 to +45.67"):
        assert number in shown


def test_a_report_without_texts_says_what_it_was_judged_by() -> None:
    told = tables.markdown(CASES["without texts"])

    assert "Disagreement, % (95%)" in told
    assert "against the baseline's own answers" in told
    assert "own answers" not in tables.markdown(finished())


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (finished(), r"67.0% of the baseline's prefill FLOPs.*\+0.40 points.*-0.10 to \+0.90.*test, 50.*within"),
        (replace(finished(), tolerance=0.008), r"beyond the tolerance of \+0.80"),
        (CASES["nothing met the budget"], r"No policy within the budget \(prefill FLOPs ≤ 70.0%\)"),
        (CASES["interrupted at once"], r"interrupted"),
        (replace(finished(), judgements=()), r"not yet judged"),
        (LOOPING, r"within the tolerance of \+1.00\. More of its outputs are broken there .* allows: 2.0%\.$"),
        (CASES["without texts"], r"disagreement changes by \+0.40 points"),
        (replace(WORSE, judgements=WORSE.judgements[:1]), r"It is surely worse than the baseline there\. The choice"),
        (UNTESTED, r"choice was made on this very speech.*--test-split"),
        (WORSE, r"On dev it surely did worse: \+1.20 \(\+0.70 to \+1.70\)\.$"),
        (UNMOVED, r"No utterance's score changed.*up to 5.8% of other utterances"),  # 1 - 0.05 ** (1 / 50)
        (SPARING, r"Audio of fewer than 39 tokens is left as it is\."),
    ],
)
def test_verdict(outcome: Outcome, says: str) -> None:
    assert re.search(says, facts.verdict(outcome))


def test_trials_csv_holds_every_trial_unrounded(tmp_path: Path) -> None:
    outcome = finished()
    tables.trials_csv(outcome, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [int(row["number"]) for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [float(row["kv_cache"]) for row in rows] == [one.costs["kv_cache"] for one in outcome.trials]
    assert rows[3]["sites"] == "0:0.5:1 2:0.4:1"
    assert [row["on_front"] for row in rows] == ["false", "false", "true", "true", "false", "false"]


def test_what_was_not_decoded_has_costs_alone(tmp_path: Path) -> None:
    outcome = CASES["mostly given up"]
    tables.trials_csv(outcome, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["decoded"] for row in rows] == [*["true"] * 6, "false", "false"]
    assert [rows[6][name] for name in ("quality", "clamped", "difference", "broken")] == [""] * 4
    assert float(rows[6]["prefill_flops"]) == 0.65

    axes = plots.draw_front(outcome).axes[0]
    [marks] = [line for line in axes.lines if line.get_label() == "given up before decoding"]
    assert np.asarray(marks.get_xdata()).tolist() == [0.65, 0.98]


def test_a_policy_found_twice_is_once_on_the_front() -> None:
    outcome = finished()
    again = replace(outcome.trials[2], number=6, repeats=2)

    assert [one.number for one in facts.front(replace(outcome, trials=(*outcome.trials, again)))] == [3, 2]


def test_labels_cover_no_other_label_and_stay_in_the_frame() -> None:
    outcome = finished()
    crowded = [trial(10 + index, policy((0, 0.9)), 0.001, 0.84 + index / 500, f"preset {index}") for index in range(5)]
    figure = plots.draw_front(replace(outcome, trials=(*outcome.trials, *crowded)))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    labels = {"baseline", "paper 0.9/0.8", *(one.label for one in crowded)}
    boxes = [
        Text.get_window_extent(child)
        for child in axes.get_children()
        if isinstance(child, Text) and child.get_text() in labels
    ]

    assert len(boxes) == 7  # baseline, paper, five presets
    assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_a_broken_policy_does_not_set_the_scale() -> None:
    top = plots.draw_front(finished()).axes[0].get_ylim()[1]

    assert 1 < top < 10  # points; the outlier is at 90, the front ends at 1.1


def test_the_sites_picture_needs_a_policy() -> None:
    with pytest.raises(ValueError, match="no chosen policy"):
        plots.draw_sites(CASES["nothing met the budget"])
