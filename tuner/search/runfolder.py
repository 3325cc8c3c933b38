"""A run's folder: the truth about a search, written so that an interruption at any moment loses nothing finished."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tuner.errors import SearchError
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy

_IDENTITY = "identity"


class RunFolder:
    """`runs/<name>/`: `config.yaml`, `study.db`, `candidates/`, `selection/`, `test/`, `front/`, `report/`.

    Attributes:
        path: the run, with the records of all that was judged.
        results: where what follows from them goes: policy, front, report and notes. The run itself, but for a later
            choice.
    """

    def __init__(self, path: Path, results: Path | None = None) -> None:
        self.path, self.results = path, results or path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunFolder:
        """A new folder with its config; refuses one that already holds a run."""
        if (path / "config.yaml").exists():
            raise SearchError(f"{path} already holds a run; continue it with --resume {path} or choose another --run")
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
        except OSError as error:
            raise SearchError(f"cannot write the run folder {path}: {error.strerror}; choose another --runs") from error
        return cls(path)

    @classmethod
    def going_on(cls, path: Path, config: Mapping[str, Any], identity: Mapping[str, str]) -> RunFolder:
        """A new run; or the one that is there already, if it is of the same things, with the config of now.

        Args:
            identity: what the results in a folder may not be mixed over, by name.

        Raises:
            SearchError: the run that is there is of something else.
        """
        anew = not (path / "config.yaml").exists()
        folder = cls.create(path, config) if anew else cls.reopen(path)
        folder.keep_to(identity, config, anew=anew)
        return folder

    @classmethod
    def reopen(cls, path: Path) -> RunFolder:
        """An existing run."""
        if not (path / "config.yaml").is_file():
            found = sorted(entry.parent.name for entry in path.parent.glob("*/config.yaml"))
            there = f"runs there: {', '.join(found)}" if found else "there is no run beside it either"
            raise SearchError(f"{path} holds no run; {there}")
        return cls(path)

    @classmethod
    def find_run(cls, name: str, runs: Path) -> RunFolder:
        """An existing run by its folder, or by its name under `runs`."""
        return cls.reopen(Path(name) if (Path(name) / "config.yaml").is_file() else runs / name)

    def keep_to(self, identity: Mapping[str, str], config: Mapping[str, Any], *, anew: bool) -> None:
        """Makes sure that results are not mixed, and writes today's config.

        Args:
            identity: what all results of the run must share, by name; noted in a new run, compared in an older one.
            config: what the run is called with now.
            anew: whether the run begins here.

        Raises:
            SearchError: the folder holds a run of another kind, or of something else.
        """
        known = identity if anew else self.noted(_IDENTITY)
        if differing := [name for name in {**identity, **known} if known.get(name) != identity.get(name)]:
            what = f"was made for another {' and '.join(differing)}" if known else "is of another kind"
            raise SearchError(f"the run {self.path} {what}; choose another --run")
        self.note(_IDENTITY, identity)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))

    def later_choice(self, name: str) -> RunFolder:
        """The same records, with a place of its own for what is chosen from them under other budgets."""
        return RunFolder(self.path, self.path / "select" / name)

    @property
    def name(self) -> str:
        """The run's name; of a later choice `<run>/select/<name>`."""
        return self.results.relative_to(self.path.parent).as_posix()

    def config(self) -> dict[str, Any]:
        """What the run was started with."""
        return dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))

    @property
    def study(self) -> str:
        """Optuna's storage URL."""
        return f"sqlite:///{(self.path / 'study.db').resolve()}"

    def save(self, part: str, policy: Policy, evaluation: Evaluation) -> None:
        """Keeps one policy's evaluation under `part` (candidates, selection or test)."""
        content = {"policy": policy.model_dump(mode="json", by_alias=True), "evaluation": evaluation.to_json()}
        (self.path / part).mkdir(exist_ok=True)
        write_atomically(self.path / part / f"{policy.hash}.json", json.dumps(content))

    def find(self, part: str, policy_hash: str) -> tuple[Policy, Evaluation] | None:
        """What `save` kept, if it did.

        Raises:
            SearchError: it was written by another version.
        """
        path = self.path / part / f"{policy_hash}.json"
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            return Policy.model_validate(content["policy"]), Evaluation.from_json(content["evaluation"])
        except (KeyError, TypeError, ValueError) as error:
            raise SearchError(f"{path} was written by another version of this program; start a new run") from error

    def note(self, name: str, content: Mapping[str, Any]) -> None:
        """Keeps a small JSON file of facts, such as the environment."""
        self.results.mkdir(parents=True, exist_ok=True)
        write_atomically(self.results / f"{name}.json", json.dumps(dict(content), indent=2))

    def noted(self, name: str) -> dict[str, Any]:
        """What `note` kept; empty if nothing."""
        path = self.results / f"{name}.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write_atomically(path: Path, text: str) -> None:
    """The whole file or the old one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
