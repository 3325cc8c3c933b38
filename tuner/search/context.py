"""What every step of a search shares: model, speech, space, run folder and the memory of what was judged."""

from __future__ import annotations

import copy
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tuner import loading
from tuner.data.utterances import UtteranceSet
from tuner.evaluate.costing import Costing
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.policy import MergeSite, Policy
from tuner.runtime.affinity import Position
from tuner.search import warmstart
from tuner.search.agreement import AGREEMENT, check_own
from tuner.search.joint import JointJudge
from tuner.search.judge import Judge
from tuner.search.narrow import Narrowed, narrowed
from tuner.search.objective import Objective
from tuner.search.presets import presets
from tuner.search.runfolder import RunFolder
from tuner.search.settings import Settings
from tuner.search.space import SearchSpace
from tuner.search.splits import load_splits
from tuner.search.watch import Watcher
from tuner.tasks.joint import Joint

BASELINE = "baseline"
PACKAGES = ("torch", "transformers", "optuna", "jiwer", "sacrebleu", "speech-token-tuner")


class Context:
    """Loads all that a search needs; raises TunerError before any work is done when something is wrong with it."""

    def __init__(self, settings: Settings, resume: Path | None, watcher: Watcher) -> None:
        self.settings, self.watcher = settings, watcher
        self.objective = Objective.of(settings)
        self.space = SearchSpace.load(settings.space)
        self.loaded = loading.load(
            settings.model, settings.device, settings.dtype, settings.attn_implementation, settings.trust_remote_code
        )
        self.task = settings.judged.for_model(self.loaded.speech.architecture)
        self.layers = self.loaded.speech.num_layers
        self.splits = load_splits(settings, self.loaded)
        reopened = None if resume is None else RunFolder.reopen(resume)
        self.narrowed = narrowed(settings, self.space, self.loaded, None if reopened is None else reopened.config())
        self.space = self.narrowed.space
        self.baseline = self.policy(())
        self.presets = {name: self.policy(sites, proportional=False) for name, sites in presets(self.layers).items()}
        self.evaluator = Evaluator(self.loaded, self.task, self.splits.search, settings.batch_size, encode_once=True)
        self._costing: Costing | None = None
        noted = {} if reopened is None else reopened.noted(warmstart.NOTE)
        sources = warmstart.gather(settings.start_from, noted, self.loaded.model, settings.runs)
        self.known = self._known(sources)
        config = settings.to_plain() | self.narrowed.to_plain()
        self.folder = reopened or RunFolder.create(settings.runs / settings.run_name(), config)
        if sources:
            self.folder.note(warmstart.NOTE, warmstart.plain(sources))

    def policy(
        self, sites: tuple[MergeSite, ...], position: Position | None = None, proportional: bool | None = None
    ) -> Policy:
        """A policy of this search with these sites and, where nothing else is given, the space's first position rule
        and its attention."""
        asked = self.settings.min_audio_tokens
        return Policy.for_model(
            self.loaded.model,
            sites,
            model_id=self.loaded.id,
            name=self.settings.policy_name,
            task=self.task.name,
            position=position or self.space.position_of({}),
            min_audio_tokens=self.space.min_audio_tokens if asked is None else asked,
            size_weighted=self.space.size_weighted,
            proportional=self.space.proportional if proportional is None else proportional,
        )

    def beside(self, settings: Settings, space: SearchSpace, folder: RunFolder) -> Context:
        """The same model, speech and encoded audio for another search: in a space, under budgets and with a folder of
        its own, and without known policies."""
        other = copy.copy(self)
        other.settings, other.space, other.folder = settings, space, folder
        other.objective, other.narrowed, other.known = Objective.of(settings), Narrowed(space), {}
        return other

    def evaluator_for(self, data: UtteranceSet, *, encode_once: bool = False) -> Evaluator:
        """An evaluator on other speech, with the batch size that is known to fit; by nothing but `generate()` unless
        `encode_once`."""
        return Evaluator(self.loaded, self.task, data, self.evaluator.batch_size, encode_once=encode_once)

    def costing(self, evaluator: Evaluator) -> Costing:
        """What an evaluator's policies cost. The model's shape is found out once, which takes seconds."""
        if self._costing is None:
            self._costing = Costing.of(self.loaded, {})
        return replace(self._costing, encoder=evaluator.encoder_flops)

    def judge(self, baseline: Evaluation, evaluator: Evaluator) -> Judge:
        """Holds policies against a baseline that `evaluator` evaluated."""
        costing, budgets = self.costing(evaluator), self.settings.budgets
        if isinstance(self.task, Joint):
            return JointJudge(baseline, costing, budgets, self.task, evaluator.data)
        return Judge(baseline, costing, budgets)

    def evaluate(
        self, part: str, policy: Policy, evaluator: Evaluator, progress: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Each distinct policy once: what the run folder holds under `part` is not run again.

        Where agreement is what counts, policies are held against the baseline's answers, so it comes first.
        """
        referee = self.settings.metric == AGREEMENT and policy.hash == self.baseline.hash
        found = self.folder.find(part, policy.hash)
        if found is None:
            evaluation = evaluator.evaluate(policy, progress)
            if referee:
                check_own(evaluation)
            self.folder.save(part, policy, evaluation)
        else:
            evaluation = found[1]
            if progress is not None:
                progress(len(evaluation.records))
        if referee:
            evaluator.own = {record.id: record.text for record in evaluation.records}
        return evaluation

    def identity(self) -> dict[str, str]:
        """What a resumed run must share with the run it continues."""
        return {
            "model": f"{self.loaded.id} {self.baseline.model.fingerprint}",
            "data": self.splits.digest,
            "space": self.space.fingerprint,
            "task": self.task.name,
            "metric": self.task.metric.name,
            **({} if self.settings.prompt is None else {"prompt": self.settings.prompt}),
            "objective": f"{self.objective.name}, by drafts",
            "parameters": "thresholds solved" if self.settings.solve else "all free",
            "budgets": ", ".join(f"{name}={value:g}" for name, value in self.settings.budgets.items()),
        }

    def environment(self) -> dict[str, str]:
        """Versions and device, for the record."""
        device = self.loaded.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
        return {
            **{package: _version(package) for package in PACKAGES},
            "python": platform.python_version(),
            "device": f"{device.type} {name}".strip(),
            "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
        }

    def _known(self, sources: warmstart.Sources) -> dict[str, Policy]:
        """What is judged whatever the sampler proposes, by label: the baseline, the presets, what it starts from."""
        given = {label: one for policies in sources.values() for label, one in policies.items()}
        started = {label: self.policy(one.sites, one.position, one.proportional) for label, one in given.items()}
        return warmstart.distinct({BASELINE: self.baseline, **self.presets, **started})


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
