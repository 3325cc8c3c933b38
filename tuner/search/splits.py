"""Which utterances a search works on: search, selection and test, disjoint and never tuned on a test split."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tuner.data import sources
from tuner.data.prompts import window_seconds
from tuner.data.splits import divide, refuse_test
from tuner.data.utterances import UtteranceSet
from tuner.errors import DataError
from tuner.loading import LoadedModel
from tuner.search.agreement import AGREEMENT
from tuner.search.settings import Settings
from tuner.tasks.base import Task
from tuner.tasks.joint import Joint, joined

log = logging.getLogger(__name__)

FEW = 30  # utterances; of fewer, bootstrap intervals come out too narrow


@dataclass(frozen=True)
class Splits:
    """The three parts; there is no test part where none was named."""

    search: UtteranceSet
    selection: UtteranceSet
    test: UtteranceSet | None

    @property
    def digest(self) -> str:
        """Identifies the audio and texts that results depend on."""
        return f"{self.search.digest}-{self.selection.digest}"


def load_splits(settings: Settings, loaded: LoadedModel) -> Splits:
    """Reads the data set the settings name; of several tasks, what it has for each.

    The reference model's own data set is the default for it; every other model needs `--dataset`.

    Raises:
        DataError: no data set, an unusable one, or a test split to be tuned on without force.
    """
    task = settings.judged
    if not isinstance(task, Joint):
        found = _load(settings, loaded, task)
        _disjoint(found.search, found.selection, found.test)
        _warn_of_few(found.search, found.selection, found.test)
        return found
    each = {name: _load(settings, loaded, one) for name, one in task.tasks.items()}
    for one in each.values():
        for other in each.values():
            _disjoint(one.search, other.selection)
            _disjoint(one.search, other.test)
            _disjoint(one.selection, other.test)
        _warn_of_few(one.search, one.selection, one.test)
    tests = {name: one.test for name, one in each.items() if one.test is not None}
    return Splits(
        joined({name: one.search for name, one in each.items()}),
        joined({name: one.selection for name, one in each.items()}),
        joined(tests) if tests else None,
    )


def _load(settings: Settings, loaded: LoadedModel, task: Task) -> Splits:
    dataset = settings.dataset or ("reference" if settings.model == "reference" else None)
    if dataset is None:
        raise DataError(f"{settings.model}: name the speech to tune on, for example --dataset my_manifest.jsonl")

    def part(split: str | None, limit: int | None = settings.limit) -> UtteranceSet:
        return sources.load(
            dataset,
            config=settings.dataset_config,
            split=split,
            max_bad=settings.max_bad,
            column=None if settings.metric == AGREEMENT else task.column,
            limit=limit,
            max_seconds=window_seconds(loaded.processor),
        )

    search_split, selection_split, test_split = settings.search_split, settings.selection_split, settings.test_split
    if dataset == "reference" and settings.split is None and search_split is None:
        search_split, selection_split, test_split = "search", "selection", test_split or "test"
    if search_split is not None and selection_split is not None:
        for name in (search_split, selection_split):
            refuse_test(name, settings.force_test)
        search, selection = part(search_split), part(selection_split)
    else:
        whole = part(settings.split)
        refuse_test(whole.split, settings.force_test)
        search, selection = divide(whole)
    return Splits(search, selection, part(test_split, settings.test_limit or settings.limit) if test_split else None)


def _disjoint(*parts: UtteranceSet | None) -> None:
    """An utterance in two parts would make the held-out numbers worthless."""
    seen: dict[str, str] = {}
    for part in parts:
        for utterance in part.utterances if part else ():
            if utterance.id in seen:
                raise DataError(
                    f"utterance {utterance.id} is in {seen[utterance.id]} and in {part.split if part else ''}; "
                    "search, selection and test must not share speech"
                )
            seen[utterance.id] = part.split if part else ""


def _warn_of_few(*parts: UtteranceSet | None) -> None:
    few = [f"{len(part)} ({part.split})" for part in parts if part is not None and len(part) < FEW]
    if few:
        log.warning(
            "%s utterances are too few to trust: intervals come out too narrow, and what is best of them is luck. Give "
            "each part %d or more, better hundreds",
            ", ".join(few),
            FEW,
        )
