"""A whole probe: baseline, likeness, interventions, the map with its verdict, and everything written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tuner.bench.write import environment
from tuner.evaluate.bands import Bands
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.keep import Keep
from tuner.evaluate.records import Evaluation
from tuner.probe.curves import curves, halving
from tuner.probe.effect import beside, effect
from tuner.probe.found import RedundancyMap
from tuner.probe.interventions import Intervention, Ledger, planned
from tuner.probe.likeness import likeness
from tuner.probe.maps import group_maps
from tuner.probe.oracle import rules
from tuner.probe.settings import Settings
from tuner.probe.subject import Subject
from tuner.probe.verdict import verdict
from tuner.probe.write import mirror, write
from tuner.search.watch import Watcher


def probe(settings: Settings, watcher: Watcher | None = None) -> tuple[RedundancyMap, Path]:
    """Probes a model layer by layer. What an earlier, interrupted call of the same run did is not done again.

    Returns:
        What was found, and the run's folder.

    Raises:
        TunerError: anything the user can put right.
    """
    subject, watcher = Subject.of(settings), watcher or Watcher()
    watcher.say(f"run  {subject.folder.path}")
    watcher.say(_words(subject))
    baseline = _baseline(subject, watcher)
    watcher.stage("similarities", 2 * len(subject.data))
    bands = Bands.of(subject.evaluator, progress=watcher.advance)
    alike = likeness(subject.evaluator, watcher.advance)
    done = _interventions(subject, settings, baseline, watcher)
    effects = tuple(effect(one, evaluation, baseline) for one, evaluation in done.items())
    kept, layers = curves(bands), subject.loaded.speech.num_layers
    found = RedundancyMap(
        model=subject.loaded.id,
        fingerprint=subject.identity.model.fingerprint,
        layers=layers,
        task=subject.task.name,
        metric=subject.task.metric.name,
        dataset=subject.data.name,
        split=subject.data.split,
        utterances=len(subject.data),
        aligned=subject.aligned,
        tolerance=settings.tolerance,
        quality=baseline.quality,
        beside=beside(baseline),
        effects=effects,
        likeness=alike,
        curves=kept,
        maps=group_maps(bands, halving(kept)),
        verdict=verdict(effects, layers, settings.tolerance, baseline.metric),
    )
    subject.folder.note("environment", environment(subject.loaded))
    files = write(found, settings.command, subject.folder.path)
    mirror(found, settings, subject.folder, files)
    return found, subject.folder.path


def _words(subject: Subject) -> str:
    """What the interventions go by: said plainly, because windows are no words."""
    if subject.aligned == len(subject.data):
        return "words: from the data set's alignments"
    return (
        f"words: {len(subject.data) - subject.aligned} of {len(subject.data)} utterances have no alignment and are "
        "divided into uniform windows of 0.3 s instead"
    )


def _baseline(subject: Subject, watcher: Watcher) -> Evaluation:
    """What the model says by itself, by `generate()` alone; each run once."""
    watcher.stage("baseline", len(subject.data))
    kept = subject.folder.find("baseline", subject.identity.hash)
    if kept is not None:
        watcher.advance(len(subject.data))
        return kept[1]
    baseline = subject.evaluator.evaluate(subject.identity, watcher.advance)
    subject.folder.save("baseline", subject.identity, baseline)
    return baseline


def _interventions(
    subject: Subject, settings: Settings, baseline: Evaluation, watcher: Watcher
) -> Mapping[Intervention, Evaluation]:
    """The evaluations of all that is planned, layer by layer."""
    ledger = Ledger(subject.folder.path / "interventions.jsonl")
    plan = list(planned(settings.probed(subject.loaded.speech.num_layers), settings.methods, settings.retentions))
    missing = [one for one in plan if one not in ledger.done]
    if missing:
        watcher.stage("encoding", 2 * len(subject.data))
        keep = Keep(subject.loaded.device, limit=round(settings.memory * 1e9))
        drafted = Drafted(subject.evaluator, subject.identity, baseline, keep=keep, progress=watcher.advance)
    watcher.stage("interventions", len(plan))
    watcher.advance(len(plan) - len(missing))
    for one in missing:
        ledger.add(one, drafted.evaluate(subject.site_at(one.layer), rules(one.method, one.retention)))
        watcher.advance()
    return {one: ledger.done[one] for one in plan}
