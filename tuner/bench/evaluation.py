"""How much faster drafts judge a policy than a plain loop, and whether both say the same:
`python -m tuner.bench.evaluation`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click

from tuner.bench.study import Page, load, study_options
from tuner.errors import TunerError
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel
from tuner.options import console, start_logging
from tuner.policy import MergeSite, Policy
from tuner.report.calls import CallProgress
from tuner.search.presets import presets
from tuner.tasks.asr import TASK

HEAD = ("policy", "kept", "WER", "plain", "drafts", "faster", "passes", "alone", "differ")
NOTE = (
    "Kept: answers that are the baseline's. Plain: `generate()` with the policy's hooks over the same batches, audio "
    "included. Drafts: the same answers from one pass over prompt and baseline's answer, and decoding where they "
    "differ; audio was encoded before. Medians of turns in alternation. Passes: the time of drafts in passes "
    "of the bare model over the same prompts, from encoded audio. Alone: how much faster drafts are than a loop over "
    "single utterances, measured once. Differ: utterances whose answer or lengths are not the same."
)


@dataclass(frozen=True)
class Row:
    """One policy judged both ways; times in seconds, turn by turn, `alone` once (None where it was not asked for)."""

    label: str
    kept: float
    quality: float
    plain: tuple[float, ...]
    drafts: tuple[float, ...]
    prefill: tuple[float, ...]
    alone: float | None
    differ: int
    ties: int


def policies(loaded: LoadedModel, given: Sequence[Policy]) -> dict[str, Policy]:
    """From one that changes nothing to hopeless ones, by label; `given` ones among them. Depths are shares."""
    layers = loaded.speech.num_layers

    def at(*sites: tuple[float, float, int]) -> Policy:
        return Policy.for_model(
            loaded.model, [MergeSite(layer=round(share * layers), threshold=t, window=w) for share, t, w in sites]
        )

    paper = {name: Policy.for_model(loaded.model, sites) for name, sites in presets(layers).items()}
    return {
        "no sites": Policy.for_model(loaded.model),
        "merges nothing": at((0, 1.0, 1)),
        "paper 0.9/0.8": paper["paper 0.9/0.8"],
        "paper 0.8/0.7": paper["paper 0.8/0.7"],
        **{policy.name: policy for policy in given},
        "from half the depth": at((0.5, 0.85, 3)),
        "middling": at((0, 0.75, 1), (0.5, 0.75, 3)),
        "bad": at((0, 0.7, 3), (0.5, 0.7, 3)),
        "hopeless": at((0, 0.3, 3)),
    }


def compare(
    plain: Evaluator, known: dict[str, Policy], repeats: int, alone: bool, advance: Callable[[str, int], None]
) -> list[Row]:
    """All ways in turn; `advance` is told of each policy's label when a turn is done."""
    loaded, data = plain.loaded, plain.data
    identity = Policy.for_model(loaded.model)
    drafted = Drafted(Evaluator(loaded, plain.task, data, plain.batch_size), identity, plain.evaluate(identity))
    encoded = Evaluator(loaded, plain.task, data, plain.batch_size, encode_once=True)
    single = Evaluator(loaded, plain.task, data, 1)
    encoded.prefill(identity)
    rows = []
    for label, policy in known.items():
        times: dict[str, list[float]] = {"plain": [], "drafts": [], "prefill": []}
        ways: dict[str, Callable[[], Evaluation]] = {
            "plain": partial(plain.evaluate, policy),
            "drafts": partial(drafted.evaluate, policy),
            "prefill": partial(encoded.prefill, identity),
        }
        found: dict[str, Evaluation] = {}
        for _ in range(repeats):
            for way, run in ways.items():
                found[way], spent = _timed(run)
                times[way].append(spent)
            advance(label, 1)
        rows.append(
            Row(
                label=label,
                kept=sum(one.agrees for one in drafted.look(policy).verdicts.values()) / len(data.utterances),
                quality=found["plain"].quality,
                plain=tuple(times["plain"]),
                drafts=tuple(times["drafts"]),
                prefill=tuple(times["prefill"]),
                alone=_timed(partial(single.evaluate, policy))[1] if alone else None,
                differ=_differing(found["plain"], found["drafts"]),
                ties=found["drafts"].ties,
            )
        )
    return rows


def page(rows: Sequence[Row]) -> Page:
    """A row for each policy."""
    cells = []
    for row in rows:
        drafts = median(row.drafts)
        cells.append(
            [
                row.label,
                f"{row.kept:.0%}",
                f"{100 * row.quality:.1f}",
                f"{median(row.plain):.2f} s",
                f"{drafts:.2f} s",
                f"{median(row.plain) / drafts:.1f}x",
                f"{drafts / median(row.prefill):.2f}",
                "-" if row.alone is None else f"{row.alone / drafts:.1f}x",
                str(row.differ),
            ]
        )
    ties = f"{sum(row.ties for row in rows)} tokens were chosen over another by no more than rounding."
    return Page("Judging by drafts", HEAD, cells, (ties, NOTE))


def _timed(run: Callable[[], Evaluation]) -> tuple[Evaluation, float]:
    began = time.perf_counter()
    found = run()
    return found, time.perf_counter() - began


def _differing(one: Evaluation, other: Evaluation) -> int:
    pairs = zip(one.records, other.records, strict=True)
    return sum(replace(first, nats=None) != replace(second, nats=None) for first, second in pairs)


@click.command()
@study_options
@click.option("--policy", "given", multiple=True, help="Policy file, or the name of a shipped policy. Repeatable.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Turns that count.")
@click.option("--alone", is_flag=True, help="Also time generate() utterance by utterance, once.")
def main(
    verbose: bool, given: tuple[str, ...], repeats: int, alone: bool, batch_size: int, out: Path | None, **speech: Any
) -> None:
    """Times a plain loop of generate() and judging by drafts, taking turns, and compares what they say."""
    start_logging(verbose)
    try:
        loaded, data = load(**speech)
        known = policies(loaded, [Policy.load(name) for name in given])
        with CallProgress(console, len(known) * repeats) as progress:
            rows = compare(Evaluator(loaded, TASK, data, batch_size), known, repeats, alone, progress.advance)
    except TunerError as error:
        raise click.ClickException(str(error)) from error
    settings = {"repeats": repeats, "alone": alone, "batch_size": batch_size, "policies": given, **speech}
    page(rows).show("evaluation", loaded, settings, [asdict(row) for row in rows], out)


if __name__ == "__main__":
    main()
