"""The final table for a terminal and for Markdown, and every trial as CSV."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tuner.report import facts, markup
from tuner.report.facts import NOTHING
from tuner.search.outcome import Judgement, Outcome
from tuner.tasks.joint import Worst
from tuner.tasks.metric import CLAMPED, DISAGREEMENT, named
from tuner.tracking import printable

COSTS = ("prefill_flops", "prefill_flops_audio", "kv_cache", "end_to_end_flops")
_NARROW = ("Prefill\nFLOPs", "Audio\nFLOPs", "KV\ncache", "Total\nFLOPs")  # the costs where there is little room
_NOTE = (
    "Costs are relative to the baseline. Audio-only FLOPs count audio tokens alone, as published numbers do; "
    "end-to-end FLOPs add the encoder and decoding. Broken outputs are empty or were cut off at the length limit."
)
_CLAMPED = (
    " The clamped rate counts no more errors in an output than its reference has words: a loop costs what silence does."
)
_WORST = (
    " Worst loss is that of the task with the greatest: WER, 1 - accuracy, 1 - BLEU / 100. Its change is the greatest "
    "share that any task loses of its baseline's quality, which is 1 - loss; costs are those of the dearest task."
)
_OWN_REFERENCES = " There are no texts: disagreement is the error rate against the baseline's own answers."


@dataclass(frozen=True)
class FinalRow:
    """One policy on one held-out split, as text. `costs` has one entry for each of `COSTS`; `beside` is empty where no
    metric is shown beside the task's."""

    split: str
    policy: str
    quality: str
    quality_interval: str
    beside: str
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
            rows.append(_baseline(outcome, here[0]))
        for judged in here:
            rows += [_row(outcome, judged), *(_part(outcome, part) for part in judged.parts)]
    return rows


def final_table(outcome: Outcome) -> Table:
    """The judged policies for a terminal: quality hundredfold, changes in points, costs relative to the baseline."""
    metric, other = facts.metric(outcome), facts.beside(outcome)
    name = f"{metric.heading.replace(',', '')}\n{f'/ {other.title}' if other else ''}\n95%"
    title = Text(facts.subject(outcome))
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("Policy", overflow="fold", min_width=12)
    for heading in (name, "Change,\npoints\n95%", *_NARROW, "Broken"):
        table.add_column(heading, justify="right", no_wrap=True)  # names give way, numbers do not
    split = ""
    for row in final_rows(outcome):
        if row.split != split:
            split = row.split
            table.add_section()
            table.add_row(Text(re.sub("/|, (?=n = )", lambda cut: f"{cut[0].strip(', ')}\n", split), style="italic"))
        quality, change = (
            f"{value}\n{bounds}" if bounds else value
            for value, bounds in (
                (f"{row.quality} / {row.beside}" if row.beside else row.quality, row.quality_interval),
                (row.difference, row.difference_interval),
            )
        )
        cells = [Text(cell) for cell in (row.policy, quality, change, *row.costs, row.broken)]
        table.add_row(*cells, style="bold" if row.chosen else None)
    return table


def note(outcome: Outcome) -> str:
    """What the columns of the final table mean."""
    remarks = {
        _CLAMPED: facts.beside(outcome) == CLAMPED,
        _OWN_REFERENCES: outcome.metric == DISAGREEMENT.name,
        _WORST: isinstance(facts.metric(outcome), Worst),
    }
    return _NOTE + "".join(remark for remark, fits in remarks.items() if fits)


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
        "proportional",
        "quality",
        *([facts.metric(outcome).beside] if facts.beside(outcome) else []),
        "difference",
        "broken",
        "drift",
        *costs,
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "ties", "decoded", "feasible", "on_front", "seconds", "repeats"])
        for trial in outcome.trials:
            policy = trial.policy
            sites = " ".join(":".join(map(str, site.model_dump().values())) for site in policy.sites)
            behaviour = [policy.hash, sites, policy.position, policy.min_audio_tokens, str(policy.proportional).lower()]
            beside = [trial.beside] if facts.beside(outcome) else []
            change = facts.metric(outcome).change(trial.difference)
            qualities = (trial.quality, *beside, change, trial.broken, trial.drift)
            values = [value if math.isfinite(value) else "" for value in qualities]
            values += [*(trial.costs.get(name, "") for name in costs), trial.ties]
            flags = [str(flag).lower() for flag in (trial.decoded, trial.feasible, trial.on_front)]
            writer.writerow([trial.number, trial.label, *behaviour, *values, *flags, trial.seconds, trial.repeats])


def front_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Number, sites, change in points and the costs of the trials on the front, cheapest first."""
    return [
        (
            str(trial.number),
            facts.sites(trial.policy) or "none",
            facts.change(outcome, trial.difference),
            *(facts.share(trial.costs.get(name)) for name in COSTS),
        )
        for trial in facts.front(outcome)
    ]


def final_header(outcome: Outcome) -> tuple[str, ...]:
    """The headings for `final_rows` where there is room for whole names."""
    other = facts.beside(outcome)
    return (
        "Split",
        "Policy",
        f"{facts.metric(outcome).heading} (95%)",
        *([other.heading] if other else []),
        "Change, points (95%)",
        *_cost_names(),
        "Broken outputs",
    )


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
        "tolerance": f"{facts.change(outcome, outcome.tolerance)} points of {facts.metric(outcome).title}",
        "trials": len(outcome.trials),
        "ties": f"{sum(trial.ties for trial in outcome.trials)} tokens of all trials were chosen by rounding alone",
        "duration": f"{outcome.seconds / 60:.1f} min",
        **outcome.settings,
    }
    return printable({name: value for name, value in asked.items() if name != "command"})


def command(outcome: Outcome) -> str | None:
    """The command that made the report, if the settings hold it as `command`."""
    return printable(outcome.settings).get("command")


def _sections(outcome: Outcome) -> Iterator[str]:
    yield f"# {markup.plain(facts.subject(outcome))}"
    yield markup.plain(facts.verdict(outcome))
    yield "![All trials: quality against cost](front.png)"
    if outcome.judgements:
        yield "## Judged on held-out speech"
        yield markup.table(final_header(outcome), [_whole(row) for row in final_rows(outcome)])
        yield note(outcome)
    if (code := facts.loading(outcome)) is not None:
        yield f"## Use\n\n```python\n{code}\n```"
    if outcome.chosen is not None:
        yield "![The chosen policy over the decoder's depth](sites.png)"
    if rows := front_rows(outcome):
        yield "## The front on the search split"
        yield markup.table(front_header(), rows)
    yield "## Settings"
    yield markup.table(
        ("Setting", "Value"), [(markup.plain(name), markup.plain(text)) for name, text in settings(outcome).items()]
    )
    if (line := command(outcome)) is not None:
        yield f"## Command\n\n```sh\n{line}\n```"


def _row(outcome: Outcome, judged: Judgement) -> FinalRow:
    return FinalRow(
        split=_split(judged),
        # The baseline is what the budgets are relative to.
        policy=(judged.label or judged.policy.name) + ("" if judged.policy.is_identity else facts.failings(judged)),
        quality=facts.percent(judged.quality),
        quality_interval=facts.interval(judged.quality_ci95, signed=False),
        beside=facts.percent(judged.beside) if facts.beside(outcome) else "",
        difference=NOTHING if judged.policy.is_identity else facts.change(outcome, judged.difference),
        difference_interval="" if judged.policy.is_identity else facts.change_interval(outcome, judged.ci95),
        costs=tuple(facts.share(judged.costs.get(name)) for name in COSTS),
        broken=facts.share(judged.broken),
        chosen=outcome.chosen is not None and judged.policy.hash == outcome.chosen.hash,
    )


def _part(outcome: Outcome, judged: Judgement) -> FinalRow:
    """One task's own numbers, below those of all tasks."""
    row = _row(replace(outcome, metric=judged.metric, chosen=None), judged)
    return replace(row, policy=f"- {judged.task}: {named(judged.metric).heading}", beside="")


def _baseline(outcome: Outcome, judged: Judgement) -> FinalRow:
    whole, other = ("100%",) * len(COSTS), NOTHING if facts.beside(outcome) else ""
    quality = facts.percent(judged.baseline)
    return FinalRow(_split(judged), "baseline", quality, "", other, NOTHING, "", whole, NOTHING, chosen=False)


def _split(judged: Judgement) -> str:
    return f"{judged.split}, n = {judged.n}"


def _whole(row: FinalRow) -> tuple[str, ...]:
    policy = f"**{markup.plain(row.policy)}**" if row.chosen else markup.plain(row.policy)
    quality, change = _with_bounds(row)
    beside = [row.beside] if row.beside else []
    return (markup.plain(row.split), policy, quality, *beside, change, *row.costs, row.broken)


def _with_bounds(row: FinalRow) -> tuple[str, str]:
    pairs = ((row.quality, row.quality_interval), (row.difference, row.difference_interval))
    quality, change = (f"{value} ({bounds})" if bounds else value for value, bounds in pairs)
    return quality, change


def _cost_names() -> tuple[str, ...]:
    return tuple(facts.heading(facts.cost_name(name)) for name in COSTS)
