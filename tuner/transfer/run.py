"""A whole transfer: every policy on every task, data set and condition, beside the bare model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tuner import loading
from tuner.bench.write import environment
from tuner.data import sources
from tuner.data.conditions import Condition, under
from tuner.data.prompts import window_seconds
from tuner.data.utterances import UtteranceSet
from tuner.errors import DataError, TunerError
from tuner.evaluate.costing import Costing
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.search.runfolder import RunFolder
from tuner.search.splits import FEW
from tuner.search.watch import Watcher
from tuner.tasks.base import Task
from tuner.tracking.batch import allowed_name
from tuner.transfer.cells import Cell, Place, cells
from tuner.transfer.settings import Settings
from tuner.transfer.write import mirror, write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Stop:
    """A task on some speech under a condition."""

    task: Task
    data: UtteranceSet
    condition: Condition

    @property
    def place(self) -> Place:
        return Place(self.task.name, self.task.metric.name, self.data.name, self.data.split, self.condition.name)

    @property
    def part(self) -> str:
        """Where its evaluations are kept; other speech is kept elsewhere."""
        return allowed_name(f"{self.task.name}-{self.data.digest}-{self.condition.name}").replace(" ", "_")


def transfer(settings: Settings, watcher: Watcher | None = None) -> tuple[list[Cell], Path]:
    """Judges all policies everywhere, by plain `generate()`; what the run's folder holds already is not run again.

    Returns:
        The cells, and the run's folder.

    Raises:
        TunerError: a policy, a model or a data set that cannot be used.
    """
    watcher = watcher or Watcher()
    given = [Policy.load(name) for name in settings.policies]
    loaded = loading.load(
        settings.model or given[0].model.id,
        settings.device,
        settings.dtype,
        settings.attn_implementation,
        settings.trust_remote_code,
    )
    policies = _labelled(given, loaded)
    identity = given[0].model_copy(update={"sites": ()})
    stops = list(_stops(settings, loaded))
    folder = RunFolder.going_on(
        settings.runs / settings.run_name(loaded.short_name),
        settings.to_plain(),
        {"kind": "transfer", "model": identity.model.fingerprint, "prompt": str(settings.prompt)},
    )
    costing = Costing.of(loaded, {})
    found: list[Cell] = []
    for stop in stops:
        evaluator = Evaluator(loaded, stop.task, stop.data, settings.batch_size, encode_once=True)
        place = stop.place
        watcher.stage(f"{place.task}, {place.speech}, {place.condition}", len(stop.data) * (1 + len(policies)))
        baseline = _evaluated(folder, stop.part, identity, evaluator, watcher)
        tried = {
            label: (policy, _evaluated(folder, stop.part, policy, evaluator, watcher))
            for label, policy in policies.items()
        }
        found += cells(place, stop.data, baseline, tried, replace(costing, encoder=evaluator.encoder_flops))
    folder.note("environment", environment(loaded))
    files = write(found, settings.command, folder.path)
    mirror(found, loaded.id, settings, folder, files)
    return found, folder.path


def _labelled(given: list[Policy], loaded: LoadedModel) -> dict[str, Policy]:
    """The policies by name.

    Raises:
        TunerError: one was made for another model, or two have the same name.
    """
    found: dict[str, Policy] = {}
    for policy in given:
        policy.check(loaded.model)
        if policy.name in found:
            raise TunerError(f"two policies are called {policy.name}; rename one (its `name`), or leave it out")
        found[policy.name] = policy
    return found


def _stops(settings: Settings, loaded: LoadedModel) -> Iterator[_Stop]:
    """Every task on every data set under every condition."""
    datasets = settings.datasets or (("reference",) if loaded.id == "reference" else ())
    if not datasets:
        raise DataError(f"{loaded.id}: name the speech to try it on, for example --dataset my_manifest.jsonl")
    longest = window_seconds(loaded.processor)
    for dataset in datasets:
        for task in settings.tasks:
            data = sources.load(
                dataset,
                config=settings.dataset_config,
                split=settings.split or ("test" if dataset == "reference" else None),
                max_bad=settings.max_bad,
                column=task.column,
                limit=settings.limit,
                max_seconds=longest,
            )
            for condition in settings.conditions:
                stop = _Stop(task.for_model(loaded.speech.architecture), under(data, condition, longest), condition)
                if len(stop.data) < FEW:
                    log.warning(
                        "%s, %s, %s: %d utterances are too few to trust: intervals come out too narrow; give %d",
                        *(task.name, stop.place.speech, condition.name, len(stop.data), FEW),
                    )
                yield stop


def _evaluated(folder: RunFolder, part: str, policy: Policy, evaluator: Evaluator, watcher: Watcher) -> Evaluation:
    kept = folder.find(part, policy.hash)
    if kept is not None:
        watcher.advance(len(kept[1].records))
        return kept[1]
    evaluation = evaluator.evaluate(policy, watcher.advance)
    folder.save(part, policy, evaluation)
    return evaluation
