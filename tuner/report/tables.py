"""The final table for a terminal and for Markdown, and every trial as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tuner.report import facts
from tuner.report.facts import NOTHING
from tuner.search.outcome import Judgement, Outcome
from tuner.tracking import printable

COSTS = ("prefill_flops", "prefill_flops_audio", "kv_cache", "end_to_end_flops")
NOTE = (
    "Costs are relative to the baseline. Audio-only FLOPs count audio tokens alone, as published numbers do; "
    "end-to-end FLOPs add the encoder and decoding. Broken outputs are empty or were cut off at the length limit."
)


@dataclass(frozen=True)
class FinalRow:
    """One policy on one held-out split, as text. `costs` has one entry for each of `COSTS`."""

    split: str
    policy: str
    quality: str
    quality_interval: str
    difference: str
    difference_interval: str
    costs: tuple[str, ...]
    broken: str
    chosen: bool


def final_rows(outcome: Outcome) -> list[FinalRow]:
    """The judged policies split by split, each split with its baseline first."""
    rows = []
    for split in dict.fromkeys(judged.split for judged in outcome.judgements):
        here = [judged for judged in outcome.judgements if judged.split == split]
        if not any(judged.policy.is_identity for judged in here):
            rows.append(_baseline(here[0]))
        rows += [_row(outcome, judged) for judged in here]
    return rows


def final_table(outcome: Outcome) -> Table:
    """The judged policies for a terminal: quality in percent, differences in points, costs relative to the baseline."""
    name = facts.metric(outcome)
    table = Table(title=Text(f"{outcome.model} on {outcome.dataset}"), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Policy", overflow="fold", min_width=13)
    table.add_column(f"{name}, %\n95%", justify="right")
    table.add_column("Change, points\n95%", justify="right")
    for column in ("Prefill\nFLOPs", "Audio\nFLOPs", "KV\ncache", "Total\nFLOPs", "Broken"):
        table.add_column(column, justify="right")
    split = ""
    for row in final_rows(outcome):
        if row.split != split:
            split = row.split
            table.add_section()
            table.add_row(Text(split.replace(", n = ", "\nn = "), style="italic"))
        quality, change = (
            f"{value}\n{bounds}" if bounds else value
            for value, bounds in ((row.quality, row.quality_interval), (row.difference, row.difference_interval))
        )
        cells = [Text(cell) for cell in (row.policy, quality, change, *row.costs, row.broken)]
        table.add_row(*cells, style="bold" if row.chosen else None)
    return table


def markdown(outcome: Outcome) -> str:
    """The whole report as Markdown; pictures are expected next to it."""
    return "\n\n".join(_sections(outcome)) + "\n"


def trials_csv(outcome: Outcome, path: Path) -> None:
    """Writes one row a trial: what was tried, and what came out, unrounded."""
    costs = list(dict.fromkeys(name for trial in outcome.trials for name in trial.costs))
    header = [
        "number",
        "label",
        "policy",
        "sites",
        "position",
        "min_audio_tokens",
        "quality",
        "difference",
        "drift",
        *costs,
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "feasible", "on_front", "seconds", "repeats"])
        for trial in outcome.trials:
            policy = trial.policy
            sites = " ".join(f"{site.layer}:{site.threshold}:{site.window}" for site in policy.sites)
            behaviour = [policy.hash, sites, policy.position, policy.min_audio_tokens]
            values = [trial.quality, trial.difference, trial.drift, *(trial.costs.get(name, "") for name in costs)]
            flags = [str(trial.feasible).lower(), str(trial.on_front).lower()]
            writer.writerow([trial.number, trial.label, *behaviour, *values, *flags, trial.seconds, trial.repeats])


def front_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Number, sites, change in points and the costs of the trials on the front, cheapest first."""
    return [
        (
            str(trial.number),
            facts.sites(trial.policy) or "none",
            facts.points(trial.difference),
            *(facts.share(trial.costs.get(name)) for name in COSTS),
        )
        for trial in facts.front(outcome)
    ]


def final_header(outcome: Outcome) -> tuple[str, ...]:
    """The headings for `final_rows` where there is room for whole names."""
    name = facts.metric(outcome)
    return ("Split", "Policy", f"{name}, % (95%)", "Change, points (95%)", *_cost_names(), "Broken outputs")


def front_header() -> tuple[str, ...]:
    """The headings for `front_rows`."""
    return ("Trial", "Sites", "Change, points", *_cost_names())


def settings(outcome: Outcome) -> dict[str, str]:
    """What was asked for and how it was searched, secrets masked."""
    asked = {
        "model": outcome.model,
        "task": outcome.task,
        "dataset": outcome.dataset,
        "budget": {name: facts.share(limit) for name, limit in outcome.budgets.items()},
        "tolerance": f"{facts.points(outcome.tolerance)} points of {facts.metric(outcome)}",
        "trials": len(outcome.trials),
        "duration": f"{outcome.seconds / 60:.1f} min",
        **outcome.settings,
    }
    return printable({name: value for name, value in asked.items() if name != "command"})


def command(outcome: Outcome) -> str | None:
    """The command that made the report, if the settings hold it as `command`."""
    return printable(outcome.settings).get("command")


def _sections(outcome: Outcome) -> Iterator[str]:
    yield f"# {_plain(outcome.model)} on {_plain(outcome.dataset)}"
    yield _plain(facts.verdict(outcome))
    yield "![All trials: quality against cost](front.png)"
    if outcome.judgements:
        yield "## Judged on held-out speech"
        yield _table(final_header(outcome), [_whole(row) for row in final_rows(outcome)])
        yield NOTE
    if (code := facts.loading(outcome)) is not None:
        yield f"## Use\n\n```python\n{code}\n```"
    if outcome.chosen is not None:
        yield "![The chosen policy over the decoder's depth](sites.png)"
    if rows := front_rows(outcome):
        yield "## The front on the search split"
        yield _table(front_header(), rows)
    yield "## Settings"
    yield _table(("Setting", "Value"), [(_plain(name), _plain(text)) for name, text in settings(outcome).items()])
    if (line := command(outcome)) is not None:
        yield f"## Command\n\n```sh\n{line}\n```"


def _row(outcome: Outcome, judged: Judgement) -> FinalRow:
    within = judged.feasible or judged.policy.is_identity  # the baseline is what budgets are relative to
    return FinalRow(
        split=_split(judged),
        policy=(judged.label or judged.policy.name) + ("" if within else " (over budget)"),
        quality=f"{100 * judged.quality:.2f}",
        quality_interval=facts.interval(judged.quality_ci95, signed=False),
        difference=NOTHING if judged.policy.is_identity else facts.points(judged.difference),
        difference_interval="" if judged.policy.is_identity else facts.interval(judged.ci95),
        costs=tuple(facts.share(judged.costs.get(name)) for name in COSTS),
        broken=facts.share(judged.broken),
        chosen=outcome.chosen is not None and judged.policy.hash == outcome.chosen.hash,
    )


def _baseline(judged: Judgement) -> FinalRow:
    whole = ("100%",) * len(COSTS)
    return FinalRow(
        _split(judged), "baseline", f"{100 * judged.baseline:.2f}", "", NOTHING, "", whole, NOTHING, chosen=False
    )


def _split(judged: Judgement) -> str:
    return f"{judged.split}, n = {judged.n}"


def _whole(row: FinalRow) -> tuple[str, ...]:
    policy = f"**{_plain(row.policy)}**" if row.chosen else _plain(row.policy)
    quality, change = _with_bounds(row)
    return (_plain(row.split), policy, quality, change, *row.costs, row.broken)


def _with_bounds(row: FinalRow) -> tuple[str, str]:
    pairs = ((row.quality, row.quality_interval), (row.difference, row.difference_interval))
    quality, change = (f"{value} ({bounds})" if bounds else value for value, bounds in pairs)
    return quality, change


def _cost_names() -> tuple[str, ...]:
    return tuple(facts.heading(name) for name in COSTS)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
