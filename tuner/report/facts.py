"""What every page, table and plot of a report says alike: the held-out judgement, the verdict, how numbers look."""

from __future__ import annotations

import json
import math

from tuner.policy import Policy
from tuner.search.outcome import Judgement, Outcome, TrialResult
from tuner.sites import AFFINITY, MergeSite
from tuner.tasks.metric import Metric, named

_COST_NAMES = {
    "prefill_flops": "prefill FLOPs",
    "prefill_flops_audio": "audio-only FLOPs",
    "kv_cache": "KV cache",
    "end_to_end_flops": "end-to-end FLOPs",
}
NOTHING = "-"
_SURE = 0.95


def subject(outcome: Outcome) -> str:
    """The model and the speech it was searched on."""
    return f"{outcome.model} on {'its own speech' if outcome.dataset == outcome.model else outcome.dataset}"


def held_out(outcome: Outcome) -> Judgement | None:
    """The chosen policy's judgement on the split furthest from the search: the last one there is."""
    if outcome.chosen is None:
        return None
    judged = [one for one in outcome.judgements if one.policy.hash == outcome.chosen.hash]
    return judged[-1] if judged else None


def front(outcome: Outcome) -> list[TrialResult]:
    """The trials on the front, cheapest first, each policy once."""
    cost = cost_axis(outcome)
    trials = {trial.policy.hash: trial for trial in reversed(outcome.trials) if trial.on_front and cost in trial.costs}
    return sorted(trials.values(), key=lambda trial: (trial.costs[cost], trial.difference))


def cost_axis(outcome: Outcome) -> str:
    """The cost that stands for all where there is room for one: prefill FLOPs, unless only others have a budget."""
    return "prefill_flops" if not outcome.budgets or "prefill_flops" in outcome.budgets else next(iter(outcome.budgets))


def metric(outcome: Outcome) -> Metric:
    """What quality is measured by."""
    return named(outcome.metric)


def beside(outcome: Outcome) -> Metric | None:
    """The metric that is shown beside it, if there is one."""
    name = metric(outcome).beside
    return None if name is None else named(name)


def change(outcome: Outcome, difference: float) -> str:
    """A difference of losses as the change of the metric that it is, in signed points."""
    return points(metric(outcome).change(difference))


def change_interval(outcome: Outcome, bounds: tuple[float, float]) -> str:
    """The same of its interval."""
    return interval(metric(outcome).change_of(bounds))


def verdict(outcome: Outcome) -> str:
    """The result in one or two sentences."""
    unfinished = " The search was interrupted; this is the state it left." if outcome.interrupted else ""
    if outcome.chosen is None:
        return f"No policy within {budgets(outcome)} was chosen.{unfinished}"
    judged = held_out(outcome)
    if judged is None:
        return f"{outcome.chosen.name} was chosen, and not yet judged on held-out speech.{unfinished}"
    cost = cost_axis(outcome)
    safe = "within" if judged.ci95[1] <= outcome.tolerance else "beyond"
    over = "" if judged.within_budget else f" It does not meet {budgets(outcome)} there."
    loops = f" More of its outputs are broken there than the loop guard allows: {share(judged.broken)}."
    return (
        f"{outcome.chosen.name} needs {share(judged.costs.get(cost))} of the baseline's {cost_name(cost)}; "
        f"{metric(outcome).title} changes by {change(outcome, judged.difference)} points (95% interval "
        f"{change_interval(outcome, judged.ci95)}) on {judged.split}, {judged.n} utterances. The "
        f"{'lower' if metric(outcome).rises else 'upper'} end is {safe} the tolerance of "
        f"{change(outcome, outcome.tolerance)}."
        f"{over}{loops if judged.loops else ''}{_doubts(outcome, judged)}{unfinished}"
    )


def _doubts(outcome: Outcome, judged: Judgement) -> str:
    """What a reader of the verdict must know to believe it no more than it deserves."""
    found, chosen_on = [], outcome.judgements[0].split
    if judged.policy.min_audio_tokens:
        fewest = judged.policy.min_audio_tokens
        found.append(f"Audio of fewer than {fewest} tokens is left as it is.")
    before = next(one for one in outcome.judgements if one.policy.hash == judged.policy.hash)
    if judged.ci95[0] > 0:
        found.append("It is surely worse than the baseline there.")
    if judged.split == chosen_on:
        found.append("The choice was made on this very speech, which flatters it; --test-split measures it on other.")
    elif before.ci95[0] > 0:
        found.append(f"On {chosen_on} it surely did worse: {_with_interval(outcome, before)}.")
    if judged.ci95[0] == judged.ci95[1]:
        unseen = 1 - (1 - _SURE) ** (1 / judged.n)
        found.append(
            f"No utterance's score changed, of which the interval knows nothing more: up to {share(unseen)} of other "
            "utterances may change all the same."
        )
    return "".join(f" {one}" for one in found)


def _with_interval(outcome: Outcome, judged: Judgement) -> str:
    return change_of(metric(outcome), judged)


def change_of(metric: Metric, judged: Judgement) -> str:
    """The change of the metric in signed points, with its interval."""
    return f"{points(metric.change(judged.difference))} ({interval(metric.change_of(judged.ci95))})"


def failings(judged: Judgement) -> str:
    """What the policy does not keep, in brackets behind its name; empty where it keeps all."""
    found = [name for name, true in (("over budget", not judged.within_budget), ("loops", judged.loops)) if true]
    return f" ({', '.join(found)})" if found else ""


def budgets(outcome: Outcome) -> str:
    """The budgets as a reader would say them."""
    limits = [f"{cost_name(name)} ≤ {share(limit)}" for name, limit in outcome.budgets.items()]
    return f"the budget ({', '.join(limits)})" if limits else "no budget"


def cost_name(name: str) -> str:
    """What a cost is called in a sentence."""
    return _COST_NAMES.get(name, name.replace("_", " "))


def heading(text: str) -> str:
    """A name at the top of a column or along an axis."""
    return text[:1].upper() + text[1:]


def loading(outcome: Outcome) -> str | None:
    """The three lines of Python that put the exported policy to work."""
    if outcome.policy_file is None:
        return None
    path = json.dumps(outcome.policy_file.as_posix(), ensure_ascii=False)
    return (
        "from tuner import Policy\n"
        f"policy = Policy.load({path})\n"
        "policy.apply(model)  # a transformers model; generate() as before"
    )


def sites(policy: Policy) -> str:
    """A policy's sites in short: layer, threshold and, where they are not the usual, window and largest group; or the
    method and its settings. Behind them whether merged tokens count in attention in proportion to their size."""
    return ", ".join(_site(site) for site in policy.sites) + (" (proportional)" if policy.proportional else "")


def _site(site: MergeSite) -> str:
    if site.method == AFFINITY:
        unusual = [f"window {site.window}"] if site.window > 1 else []
        unusual += [f"groups of {site.largest}"] if site.largest else []
        return f"L{site.layer} ≥ {site.threshold:g}" + (f" ({', '.join(unusual)})" if unusual else "")
    return f"L{site.layer} {site.method} " + " ".join(f"{name} {value:g}" for name, value in site.settings.items())


def share(value: float | None) -> str:
    """A ratio as a percentage."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.1f}%"


def percent(value: float) -> str:
    """A fraction as a hundredfold, without the sign: 4.40 for an error rate or 62.10 for a BLEU."""
    return f"{100 * value:.2f}" if math.isfinite(value) else NOTHING


def points(value: float) -> str:
    """A difference of fractions in signed points."""
    return f"{100 * value:+.2f}" if math.isfinite(value) else NOTHING


def interval(bounds: tuple[float, float], signed: bool = True) -> str:
    """Bounds of rates or of their differences, in percent or points."""
    return " to ".join(points(bound) if signed else f"{100 * bound:.2f}" for bound in bounds)
