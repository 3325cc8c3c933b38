"""What is probed: the model, the utterances, the baseline that interventions are held against, and the run's folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from tuner import loading
from tuner.data import sources
from tuner.data.prompts import window_seconds
from tuner.data.utterances import UtteranceSet
from tuner.errors import DataError
from tuner.evaluate.evaluator import Evaluator
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.probe.settings import Settings
from tuner.search.runfolder import RunFolder
from tuner.search.splits import FEW
from tuner.tasks.base import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """Everything that interventions share. `identity` is the policy that changes nothing."""

    loaded: LoadedModel
    task: Task
    data: UtteranceSet
    evaluator: Evaluator
    identity: Policy
    folder: RunFolder

    @classmethod
    def of(cls, settings: Settings) -> Subject:
        """Loads all that a probe needs.

        Raises:
            TunerError: something is wrong with it, or the run's folder belongs to a probe of something else.
        """
        loaded = loading.load(
            settings.model, settings.device, settings.dtype, settings.attn_implementation, settings.trust_remote_code
        )
        settings.probed(loaded.speech.num_layers)
        task = settings.judged.for_model(loaded.speech.architecture)
        data = _speech(settings, loaded, task)
        identity = Policy.for_model(loaded.model, (), model_id=loaded.id, task=task.name)
        words = repr([one.words for one in data.utterances])
        facts = {
            "model": identity.model.fingerprint,
            "data": data.digest,
            "words": hashlib.blake2b(words.encode(), digest_size=8).hexdigest(),
            "task": task.name,
            "prompt": task.prompt,
        }
        folder = _folder(settings, loaded.short_name, facts)
        evaluator = Evaluator(loaded, task, data, settings.batch_size, encode_once=True)
        return cls(loaded, task, data, evaluator, identity, folder)

    @property
    def aligned(self) -> int:
        """How many utterances have words."""
        return sum(one.words is not None for one in self.data.utterances)

    def site_at(self, layer: int) -> Policy:
        """A policy with one merge site, at which a rule may decide."""
        return self.identity.model_copy(update={"sites": (MergeSite(layer=layer, threshold=1.0),)})


def _speech(settings: Settings, loaded: LoadedModel, task: Task) -> UtteranceSet:
    """The split that is named; of the reference model's own data set, its default, the one for searching."""
    dataset = settings.dataset or ("reference" if settings.model == "reference" else None)
    if dataset is None:
        raise DataError(f"{settings.model}: name the speech to probe on, for example --dataset my_manifest.jsonl")
    data = sources.load(
        dataset,
        config=settings.dataset_config,
        split=settings.split or ("search" if dataset == "reference" else None),
        max_bad=settings.max_bad,
        column=task.column,
        limit=settings.limit,
        max_seconds=window_seconds(loaded.processor),
    )
    if len(data) < FEW:
        log.warning(
            "%d utterances are too few to trust: intervals come out too narrow. Give %d or more", len(data), FEW
        )
    return data


def _folder(settings: Settings, model: str, facts: Mapping[str, str]) -> RunFolder:
    """A new run, or the one of that name if it is a probe of the same things, with the settings of now."""
    path, config = settings.runs / settings.run_name(model), settings.to_plain()
    anew = not (path / "config.yaml").exists()
    folder = RunFolder.create(path, config) if anew else RunFolder.reopen(path)
    folder.keep_to("probe", facts, config, anew=anew)
    return folder
