"""A comparison as a table, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from tuner.compare.contrast import result
from tuner.compare.found import Compared, Entry, Result
from tuner.report import markup
from tuner.report.facts import NOTHING, failings, interval, percent, points, share, sites

_STYLE: dict[Result, str] = {"better": "red", "worse": "green", "undecided": "", "unmatched": "dim"}
_MILLI = 1000  # nats a word are small numbers
_MARK: dict[Result, str] = {"better": "-", "worse": "+", "undecided": "", "unmatched": ""}


def terminal(found: Compared) -> Table:
    """The metric by method and budget, and below it the interval of its change: red (-) where the champion is surely
    better, green (+) where the rival is; * where a choice does not keep what it should."""
    table = Table(
        title=f"{found.judged_by.heading} at matched prefill FLOPs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for budget in found.levels:
        table.add_column(f"{budget:g}", justify="right", no_wrap=True)
    for method in found.methods:
        table.add_row(method, *(_cell(found, method, budget) for budget in found.levels))
    return table


def baseline(found: Compared) -> str:
    """What all is held against, and how."""
    told = f"chosen on {found.chosen_on}, measured once on {found.split}"
    if found.chosen_on == found.split:
        told = (
            f"chosen and measured on {found.split}, which flatters whatever was chosen: there is no other speech; "
            "--test-split measures on other"
        )
    return (
        f"{found.model}, {found.task}: baseline {found.judged_by.title} {percent(found.quality)} on "
        f"{found.dataset}/{found.split}, {found.utterances} utterances. Each method at its best of {found.trials} "
        f"settings for each budget, matched where settings are searched, {told}. Changes are against the baseline, "
        "with paired 95% bootstrap intervals, none of them corrected for how many there are."
    )


def line(entry: Entry, found: str) -> str:
    """A finished row in one line; `found` is its change in points."""
    where = "" if entry.budget is None else f" at {entry.budget:g}"
    trials = f"; {entry.feasible} of {entry.trials} settings kept the budget" if entry.trials else ""
    return f"{entry.method}{where}: {found or entry.reason}{trials}, {entry.seconds:.0f} s"


def markdown(found: Compared, command: str) -> str:
    """The comparison as Markdown; the picture is expected next to it."""
    return "\n\n".join(_sections(found, command)) + "\n"


def _sections(found: Compared, command: str) -> Iterator[str]:
    yield f"# Methods compared: {markup.plain(found.model)}, {markup.plain(found.task)}"
    yield f"```sh\n{command}\n```"
    yield markup.plain(baseline(found))
    yield "\n".join(f"- {markup.plain(sentence)}" for sentence in found.verdict)
    if found.missing:
        yield f"Interrupted; not done: {', '.join(found.missing)}."
    yield f"![{found.judged_by.title} against prefill FLOPs](compare.png)"
    title = found.judged_by.title
    head = ("Method", found.judged_by.heading, "Change", "95% interval", "Prefill FLOPs", "KV cache", "First token")
    for budget in found.levels:
        yield f"## At {budget:g} of the prefill FLOPs"
        own = [one for one in found.entries if one.budget == budget]
        rows = [
            (*_numbers(found, one), _against(found, one), *_drifts(found, one), _kept(one), _setting(one))
            for one in own
        ]
        less = (f"{title}, {found.champion} less this", "Drift", f"Drift, {found.champion} less this")
        yield markup.table((*head, *less, "Kept the budget", "Sites"), rows)
    if presets := [one for one in found.entries if one.budget is None]:
        yield "## The paper's presets, at what they cost"
        yield markup.table((*head, "Sites"), [(*_numbers(found, one), _setting(one)) for one in presets])
    yield (
        "First token: the time to it over the baseline's, encoder included, one utterance at a time, in alternation; "
        "a median over lengths. Drift: nats per 1000 words (or questions) by which the baseline's answers are less "
        "likely."
    )


def _cell(found: Compared, method: str, budget: float) -> Text:
    entry, contrast = found.at(method, budget), found.against(method, budget)
    if entry is None or entry.judged is None:
        return Text("not done" if entry is None else "infeasible", "dim")
    outcome: Result = "undecided" if contrast is None else contrast.result
    style = "bold" if method == found.champion else _STYLE[outcome]
    judged = entry.judged
    marked = ("*" if failings(judged) else "") + _MARK[outcome]
    low, high = found.judged_by.change_of(judged.ci95)
    return Text(f"{percent(judged.quality)}{marked}\n{100 * low:+.1f}..{100 * high:+.1f}", style)


def _numbers(found: Compared, entry: Entry) -> tuple[str, ...]:
    judged = entry.judged
    if judged is None:
        return (markup.plain(entry.method), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    metric = found.judged_by
    return (
        markup.plain(entry.method + failings(judged)),
        percent(judged.quality),
        points(metric.change(judged.difference)),
        interval(metric.change_of(judged.ci95)),
        share(judged.costs["prefill_flops"]),
        share(judged.costs["kv_cache"]),
        share(entry.first_token),
    )


def _against(found: Compared, entry: Entry) -> str:
    contrast = None if entry.budget is None else found.against(entry.method, entry.budget)
    if contrast is None or contrast.difference is None or contrast.low is None or contrast.high is None:
        return NOTHING
    metric = found.judged_by
    bounds = interval(metric.change_of((contrast.low, contrast.high)))
    return f"{points(metric.change(contrast.difference))} ({bounds}): {contrast.result}"


def _drifts(found: Compared, entry: Entry) -> tuple[str, str]:
    """Of a method, and of the champion less this one."""
    contrast = None if entry.budget is None else found.against(entry.method, entry.budget)
    own = NOTHING if entry.drift is None else f"{_MILLI * entry.drift:.1f}"
    if contrast is None or contrast.drift is None:
        return own, NOTHING
    less = contrast.drift
    bounds = f"{_MILLI * less.low:+.1f} to {_MILLI * less.high:+.1f}"
    return own, f"{_MILLI * less.value:+.1f} ({bounds}): {result(less)}"


def _kept(entry: Entry) -> str:
    return f"{entry.feasible} of {entry.trials}"


def _setting(entry: Entry) -> str:
    return markup.plain(entry.reason if entry.judged is None else sites(entry.judged.policy) or "none")
