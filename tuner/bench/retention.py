"""How far predictions of what policies keep are off: `python -m tuner.bench.retention`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import optuna

from tuner.bench.study import Page, load, study_options
from tuner.errors import TunerError
from tuner.evaluate.bands import LAGS, Bands
from tuner.evaluate.costing import Costing
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.predictor import Predictor
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel
from tuner.options import console, start_logging
from tuner.policy import MergeSite, Policy
from tuner.report.calls import CallProgress
from tuner.search.space import SearchSpace
from tuner.tasks.asr import TASK

HEAD = ("space", "what", "policies", "mean error", "worst", "bias")
NOTE = (
    "Errors are percentage points, predicted minus measured: of the audio tokens that are left behind each site and at "
    "the end, out of all there were, and of the ratio of prefill FLOPs to the bare model's. Mean error is of absolute "
    "values, bias of signed ones."
)


@dataclass(frozen=True)
class Kept:
    """Share of all audio tokens left behind each site and at the end, ratio of prefill FLOPs, and seconds spent."""

    behind: tuple[float, ...]
    end: float
    prefill_flops: float
    seconds: float


@dataclass(frozen=True)
class Compared:
    """One policy, as predicted and as it ran."""

    space: str
    sites: tuple[MergeSite, ...]
    predicted: Kept
    measured: Kept


def draw(space: SearchSpace, loaded: LoadedModel, count: int, seed: int) -> Iterator[Policy]:
    """Random policies of a space, all values equally likely; those that merge nowhere are drawn again."""
    layers = loaded.speech.num_layers
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    while count:
        params = space.suggest(study.ask(), layers)
        sites, position = space.sites_of(params, layers), space.position_of(params)
        if sites:
            yield Policy.for_model(
                loaded.model, sites, position=position, min_audio_tokens=space.min_audio_tokens, model_id=loaded.id
            )
            count -= 1


def compare(
    evaluator: Evaluator, spaces: Sequence[SearchSpace], count: int, seed: int, advance: Callable[[str, int], None]
) -> list[Compared]:
    """`count` policies of each space; `advance` is told of each space's name when a policy of it is done."""
    loaded = evaluator.loaded
    costing = Costing.of(loaded, {})
    bare = evaluator.prefill(Policy.for_model(loaded.model))
    predictor = Predictor(Bands.of(evaluator))

    def kept(policy: Policy, prefill: Callable[[Policy], Evaluation]) -> Kept:
        began = time.perf_counter()
        found = prefill(policy)
        spent = time.perf_counter() - began
        audio = np.array([record.audio_tokens for record in found.records]).sum(0)
        shares = audio / sum(record.audio_tokens[0] for record in bare.records)
        flops, all_flops = (sum(costing.prefill(record.tokens) for record in one.records) for one in (found, bare))
        behind = tuple(float(shares[site.layer]) for site in policy.sites)
        return Kept(behind, float(shares[-1]), flops / all_flops, spent)

    compared = []
    for space in spaces:
        for policy in draw(space, loaded, count, seed):
            predicted, measured = kept(policy, predictor.prefill), kept(policy, evaluator.prefill)
            compared.append(Compared(space.name, policy.sites, predicted, measured))
            advance(space.name, 1)
    return compared


def errors(compared: Sequence[Compared]) -> dict[str, list[float]]:
    """Predicted minus measured in percentage points, by what it is about."""
    found: dict[str, list[float]] = {}
    for one in compared:
        pairs = list(zip(one.predicted.behind, one.measured.behind, strict=True))
        for number, (predicted, measured) in enumerate(pairs, 1):
            found.setdefault(f"behind site {number}", []).append(100 * (predicted - measured))
    found["at the end"] = [100 * (one.predicted.end - one.measured.end) for one in compared]
    found["prefill FLOPs"] = [100 * (one.predicted.prefill_flops - one.measured.prefill_flops) for one in compared]
    return found


def page(compared: Sequence[Compared]) -> Page:
    """A row for each space and thing that was predicted."""
    rows = []
    for space in dict.fromkeys(one.space for one in compared):
        for what, off in errors([one for one in compared if one.space == space]).items():
            mean, worst, bias = np.abs(off).mean(), max(off, key=abs), np.mean(off)
            rows.append([space, what, str(len(off)), f"{mean:.2f}", f"{worst:+.2f}", f"{bias:+.2f}"])
    return Page("Predicted retention", HEAD, rows, (speeds(compared), NOTE), left=2)


def speeds(compared: Sequence[Compared]) -> str:
    """A sentence on the time it took."""
    predicted, measured = (
        np.median([side.seconds for side in sides])
        for sides in zip(*((one.predicted, one.measured) for one in compared), strict=True)
    )
    return f"A policy is predicted in {1e3 * predicted:.0f} ms and measured in {1e3 * measured:.0f} ms (medians)."


@click.command()
@study_options
@click.option("--space", "spaces", multiple=True, default=("triple",), show_default=True, help="Repeatable.")
@click.option("--policies", type=click.IntRange(1), default=100, show_default=True, help="Random ones of each space.")
@click.option("--seed", default=0, show_default=True)
def main(
    verbose: bool,
    spaces: tuple[str, ...],
    policies: int,
    seed: int,
    batch_size: int,
    out: Path | None,
    **speech: Any,
) -> None:
    """Predicts what random policies keep of the audio, and measures it."""
    start_logging(verbose)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        drawn_from = [SearchSpace.load(space) for space in spaces]
        loaded, data = load(**speech)
        evaluator = Evaluator(loaded, TASK, data, batch_size, encode_once=True)
        with CallProgress(console, policies * len(spaces)) as progress:
            compared = compare(evaluator, drawn_from, policies, seed, progress.advance)
    except TunerError as error:
        raise click.ClickException(str(error)) from error
    settings = {"spaces": spaces, "policies": policies, "seed": seed, "batch_size": batch_size, "lags": LAGS, **speech}
    found = [{**asdict(one), "sites": [site.model_dump() for site in one.sites]} for one in compared]
    page(compared).show("retention", loaded, settings, found, out)


if __name__ == "__main__":
    main()
