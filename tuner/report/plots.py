"""The two pictures of a report: all trials with their front, and the chosen policy over the decoder's depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from tuner.evaluate.records import Evaluation
from tuner.report import facts
from tuner.report.labels import place
from tuner.report.style import BLUE, GREEN, GREY, INK, PURPLE, SKY, VERMILION, blank, plain, save, settle
from tuner.search.outcome import Judgement, Outcome, TrialResult
from tuner.sites import AFFINITY, MergeSite
from tuner.tasks.metric import Metric

# Shapes differ too.
_FRONT, _CHOSEN, _NAMED, _BUDGET = BLUE, VERMILION, GREEN, PURPLE
_TRIAL, _INFEASIBLE, _INK = SKY, GREY, INK


def front(outcome: Outcome, path: Path) -> None:
    """Writes the trials' picture as PNG: change in quality against the cost relative to the baseline."""
    save(draw_front(outcome), path)


def sites(outcome: Outcome, path: Path, chosen: Evaluation | None = None, baseline: Evaluation | None = None) -> None:
    """Writes the chosen policy's picture as PNG: its thresholds over depth and, if evaluated, the audio tokens left.

    Raises:
        ValueError: the outcome has no chosen policy.
    """
    save(draw_sites(outcome, chosen, baseline), path)


def draw_front(outcome: Outcome) -> Figure:
    """The picture behind `front`. All points are relative to the baseline of their own split; worse is always up, and
    the axis is labelled in the metric's own direction.
    """
    figure = blank(8.0, 5.4)
    axes = figure.subplots()
    plain(axes)
    cost, metric = facts.cost_axis(outcome), facts.metric(outcome)
    trials = [one for one in outcome.trials if math.isfinite(one.difference * one.costs.get(cost, math.nan))]
    judged = facts.held_out(outcome)
    best = facts.front(outcome)
    bottom, top = _limits(outcome, trials, judged)
    left = min([trial.costs[cost] for trial in trials] + [outcome.budgets.get(cost, 1.0)], default=0.0)
    right = max(1.0, *(trial.costs[cost] for trial in trials if trial.feasible or trial.label), 1.0)
    margin = 0.05 * (right - left) or 0.05
    axes.set_xlim(left - margin, right + margin)
    axes.set_ylim(bottom, top)

    if outcome.tolerance > 0:
        label = f"within the tolerance, {facts.change(outcome, outcome.tolerance)}"
        axes.axhspan(bottom, 100 * outcome.tolerance, color="#000000", alpha=0.06, lw=0, zorder=0, label=label)
    axes.axhline(0, color=_INK, lw=0.8, zorder=1)
    _draw_undecoded(axes, outcome.trials, cost)
    _draw_trials(axes, [one for one in trials if not one.label and not one.on_front], cost, top)
    if best:
        _draw_best(axes, [(one.costs[cost], 100 * one.difference) for one in best], top)
    named = _draw_named(axes, trials, cost, top, metric)
    if judged is not None and cost in judged.costs:
        _draw_judged(axes, trials, judged, cost)
    if cost in outcome.budgets:
        label = f"budget {facts.share(outcome.budgets[cost])}"
        axes.axvline(outcome.budgets[cost], color=_BUDGET, lw=1.8, ls=(0, (5, 2)), zorder=3, label=label)

    axes.set_xlabel(f"{facts.heading(facts.cost_name(cost))}, relative to the baseline")
    axes.set_ylabel(f"Change in {metric.title}, points")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="%"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.change(value):+g}" if value else "0"))
    axes.set_title(facts.subject(outcome), fontsize=11, loc="left", parse_math=False)
    if axes.get_legend_handles_labels()[0]:
        legend = figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        for text in legend.get_texts():
            text.set_parse_math(False)
    settle(figure)
    crowd = [(one.costs[cost], min(100 * one.difference, top)) for one in trials]
    if judged is not None and cost in judged.costs:
        crowd += [(judged.costs[cost], float(y)) for y in np.linspace(*judged.ci95, 12) * 100]
    crowd += [(outcome.budgets[cost], float(y)) for y in np.linspace(bottom, top, 30) if cost in outcome.budgets]
    place(axes, named, crowd)
    return figure


def draw_sites(outcome: Outcome, chosen: Evaluation | None = None, baseline: Evaluation | None = None) -> Figure:
    """The picture behind `sites`."""
    policy = outcome.chosen
    if policy is None:
        raise ValueError("the outcome has no chosen policy to draw")
    layers = policy.model.layers
    figure = blank(8.0, 4.8 if chosen else 2.6)
    if chosen:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        plain(upper)
        _draw_tokens(upper, chosen, baseline)
        for site in policy.sites:
            upper.axvline(site.layer, color=_CHOSEN, lw=0.8, ls=(0, (2, 2)), zorder=1)
    else:
        lower = figure.subplots()
    plain(lower)
    if policy.sites:
        at, height = [site.layer for site in policy.sites], [_strength(site) for site in policy.sites]
        lower.vlines(at, 0, height, color=_CHOSEN, lw=2.2, zorder=3)
        lower.plot(at, height, "o", color=_CHOSEN, ms=7, zorder=4)
    lower.set_ylim(min([0.0, *(_strength(site) - 0.1 for site in policy.sites)]), 1.3)
    lower.set_yticks([0, 0.5, 1])
    lower.set_xlim(-0.6, layers - 0.4 if not chosen else layers + 0.2)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    lower.set_xlabel("Decoder layer")
    others = any(site.method != AFFINITY for site in policy.sites)
    lower.set_ylabel("Threshold or ratio" if others else "Merge at similarity ≥")
    (upper if chosen else lower).set_title(policy.name, fontsize=11, loc="left", parse_math=False)
    if len(policy.sites) <= max(8, layers // 2):
        wide, bounded = any(site.window > 1 for site in policy.sites), any(site.largest for site in policy.sites)
        texts = [
            (f"{site.method} " if others else "")
            + f"{_strength(site):.2f}"
            + (f", w{site.window}" if wide else "")
            + (f", ≤{site.largest or '∞'}" if bounded else "")
            for site in policy.sites
        ]
        settle(figure)
        place(lower, [(site.layer, _strength(site), text) for site, text in zip(policy.sites, texts, strict=True)], [])
    return figure


def _strength(site: MergeSite) -> float:
    settings = site.settings
    return settings["ratio"] if "ratio" in settings else settings["threshold"]


def _limits(outcome: Outcome, trials: list[TrialResult], judged: Judgement | None) -> tuple[float, float]:
    """The range of changes worth looking at, in points: broken policies would squeeze all others onto one line."""
    interval = judged.ci95 if judged else (0.0, 0.0)
    best = [one.difference for one in trials if one.on_front] or [0.0]
    high = max(0.01, 4 * outcome.tolerance, 1.4 * interval[1], 1.5 * float(np.median(best)))
    low = min([0.0, interval[0], *(one.difference for one in trials)])
    margin = 0.08 * (high - low)
    return 100 * (low - margin), 100 * (high + margin)


def _draw_best(axes: Axes, points: list[tuple[float, float]], top: float) -> None:
    axes.step(*zip(*points, strict=True), where="post", color=_FRONT, lw=1.8, zorder=4)
    axes.plot(*zip(*points, strict=True), "s", color=_FRONT, ms=6, zorder=5, label="front: best within the budget")
    for x in [x for x, y in points if y > top]:
        axes.plot(x, top, "^", color=_FRONT, ms=7, zorder=5, clip_on=False)


def _draw_trials(axes: Axes, trials: list[TrialResult], cost: str, top: float) -> None:
    kinds: dict[str, tuple[list[TrialResult], dict[str, Any]]] = {
        "within the budget": ([one for one in trials if one.feasible], {"color": _TRIAL, "mec": _FRONT}),
        "over a budget or looping": (
            [one for one in trials if not one.feasible],
            {"color": "none", "mec": _INFEASIBLE},
        ),
    }
    for name, (members, look) in kinds.items():
        shown = [(one.costs[cost], 100 * one.difference) for one in members if 100 * one.difference <= top]
        beyond = [(one.costs[cost], top) for one in members if 100 * one.difference > top]
        if members:
            x, y = zip(*shown, strict=True) if shown else ((), ())
            axes.plot(x, y, "o", ms=5, mew=0.8, zorder=2, label=name, **look)
        if beyond:
            axes.plot(*zip(*beyond, strict=True), "^", ms=5, mew=0.8, zorder=2, clip_on=False, **look)
    if any(100 * one.difference > top for one in trials):
        axes.plot([], [], "^", ms=5, color="none", mec=_INFEASIBLE, label="worse than the scale")


def _draw_undecoded(axes: Axes, trials: Sequence[TrialResult], cost: str) -> None:
    """Where candidates were given up whose quality nobody knows: marks along the cost axis."""
    given_up = [one.costs[cost] for one in trials if not one.decoded and cost in one.costs]
    if given_up:
        bottom = axes.get_ylim()[0]
        label = "given up before decoding"
        axes.plot(given_up, [bottom] * len(given_up), "|", color=_INFEASIBLE, ms=9, zorder=2, label=label)


def _draw_named(
    axes: Axes, trials: list[TrialResult], cost: str, top: float, metric: Metric
) -> list[tuple[float, float, str]]:
    named = []
    for one in {one.label: one for one in trials if one.label}.values():
        x, y = one.costs[cost], min(100 * one.difference, top)
        baseline = one.policy.is_identity
        marker, color = ("X", _INK) if baseline else ("^" if y == top else "D", _NAMED)
        fill = color if one.feasible or baseline else "white"
        axes.plot([x], [y], marker, color=fill, mec=color, mew=1.3, ms=7, zorder=6, clip_on=False)
        beyond = f" ({metric.change(100 * one.difference):+.1f})" if 100 * one.difference > top else ""
        named.append((x, y, one.label + beyond))
    return named


def _draw_judged(axes: Axes, trials: list[TrialResult], judged: Judgement, cost: str) -> None:
    x, y = judged.costs[cost], 100 * judged.difference
    low, high = (100 * bound for bound in judged.ci95)
    for one in [one for one in trials if one.led_to(judged.policy)][:1]:
        look: dict[str, Any] = {"color": "none", "mec": _CHOSEN, "mew": 1.6, "ms": 12}
        axes.plot(one.costs[cost], 100 * one.difference, "o", label="chosen, as the search saw it", **look)
    label = f"chosen, on {judged.split} (n = {judged.n}, 95% interval)"
    axes.vlines(x, low, high, color=_CHOSEN, lw=1.8, zorder=6)
    axes.plot([x, x], [low, high], "_", color=_CHOSEN, ms=9, mew=1.8, zorder=6)
    axes.plot([x], [y], "*", color=_CHOSEN, mec="white", mew=0.8, ms=15, zorder=7, label=label)


def _draw_tokens(axes: Axes, chosen: Evaluation, baseline: Evaluation | None) -> None:
    edges, kept = _tokens_per_second(chosen)
    axes.stairs(kept, edges, color=_FRONT, lw=2.2, baseline=None, zorder=3)
    axes.fill_between(edges, [*kept, kept[-1]], step="post", color=_TRIAL, alpha=0.3, lw=0, zorder=2)
    highest = max(kept)
    if baseline:
        whole = _tokens_per_second(baseline)[1]
        axes.stairs(whole, edges, color=_INK, lw=1.4, ls=(0, (4, 2)), baseline=None, zorder=3)
        axes.text(edges[-1], whole[-1], "baseline", ha="right", va="bottom", fontsize=9, color=_INK)
        highest = max([highest, *whole])
        for layer in [0, *(np.flatnonzero(np.diff(kept)) + 1)]:
            share = f"{100 * kept[layer] / whole[layer]:.0f}%"
            axes.text(layer + 0.12, kept[layer], share, ha="left", va="bottom", fontsize=9, color=_FRONT)
    axes.set_ylim(0, 1.18 * highest)
    axes.set_ylabel("Audio tokens per second")


def _tokens_per_second(evaluation: Evaluation) -> tuple[list[float], list[float]]:
    """Borders of the layers and the audio tokens that each of them processed per second of audio."""
    tokens = np.array([record.audio_tokens for record in evaluation.records], dtype=np.float64).sum(0)
    seconds = sum(record.seconds for record in evaluation.records)
    return [float(layer) for layer in range(len(tokens) + 1)], [float(count) for count in tokens / seconds]
