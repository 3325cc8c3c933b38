"""What is shipped: every package, valid policies and search spaces, found by name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tuner import Policy
from tuner.search.space import SearchSpace
from tuner.shipped import shipped

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    code = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tuner").rglob("__init__.py")}
    assert set(listed) == code | {"tuner.policies", "tuner.search_spaces"}


@pytest.mark.parametrize("name", sorted(shipped("policies")))
def test_shipped_policies_load_by_name_and_say_what_was_measured(name: str) -> None:
    policy = Policy.load(name)
    assert policy.name == name
    assert {"command", "seed", "run"} <= set(policy.made_by)
    assert [split["split"] for split in policy.measured["splits"]][-1] == "test"


@pytest.mark.parametrize("name", sorted(shipped("search_spaces")))
def test_shipped_search_spaces_load_by_name(name: str) -> None:
    assert SearchSpace.load(name).name == name
