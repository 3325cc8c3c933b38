"""Policies that a search starts from: those of files and of earlier runs, checked against its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.errors import PolicyError, SearchError
from tuner.policy import Policy
from tuner.search.space import SearchSpace

NOTE = "start_from"
Sources = Mapping[str, Mapping[str, Policy]]  # source -> label -> policy


def gather(given: Sequence[str], noted: Mapping[str, Any], model: Any, runs: Path) -> Sources:
    """The policies of every source by label: "from x.yaml", "from other trial 12".

    Args:
        given: policy files, names of shipped policies, folders of runs or their names.
        noted: what an earlier start of the same run noted (`plain`). It counts, whatever those files hold by now: a
            search may write to the file that it started from.
        model: the loaded model that every policy must have been made for.
        runs: the folder that has the runs which are given by name.

    Raises:
        TunerError: a source without a policy, or with one for another model; names the file.
    """
    sources: dict[str, dict[str, Policy]] = {
        source: {label: Policy.model_validate(policy) for label, policy in policies.items()}
        for source, policies in noted.items()
    }
    for source in given:
        if source in sources:
            continue
        taken = {label for policies in sources.values() for label in policies}
        there = Path(source) if Path(source).exists() else runs / source
        path = there if there.is_dir() else Path(source)
        found = _read(path, path.name, model)
        sources[source] = found if taken.isdisjoint(found) else _read(path, source, model)
    return sources


def plain(sources: Sources) -> dict[str, Any]:
    """What to note."""
    return {
        source: {label: policy.model_dump(mode="json", by_alias=True) for label, policy in policies.items()}
        for source, policies in sources.items()
    }


def distinct(policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """The policies by label without those that do what an earlier one does."""
    first: dict[str, str] = {}
    for label, policy in policies.items():
        first.setdefault(policy.hash, label)
    return {label: policies[label] for label in first.values()}


def outside(space: SearchSpace, layers: int, policies: Mapping[str, Policy]) -> list[str]:
    """The labels of the policies that no trial of the space can draw."""
    known = {label: policy for label, policy in policies.items() if not policy.is_identity}
    return [label for label, policy in known.items() if space.params_of(policy, layers) is None]


def _read(source: Path, name: str, model: Any) -> dict[str, Policy]:
    """A source's policies by label, `name` standing for the source."""
    if not source.is_dir():
        return {f"from {name}": _checked(str(source), model)}
    files = [path for path in (source / "policy.yaml", *sorted((source / "front").glob("*.yaml"))) if path.is_file()]
    if not files:
        raise SearchError(f"--from {source}: no policy.yaml and no front/*.yaml in it; is it the folder of a run?")
    policies = {path: _checked(str(path), model) for path in files}
    return {f"from {name} {_origin(policy, path)}": policy for path, policy in policies.items()}


def _origin(policy: Policy, path: Path) -> str:
    return f"trial {policy.made_by['trial']}" if "trial" in policy.made_by else path.stem


def _checked(path: str, model: Any) -> Policy:
    policy = Policy.load(path)
    try:
        policy.check(model)
    except PolicyError as error:
        raise PolicyError(f"--from {path}: {error}") from error
    return policy
