"""Policies and search spaces that come with the project, found by name in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["policies", "search_spaces"]
_PACKAGE = Path(__file__).parent


def shipped(kind: Kind) -> dict[str, Path]:
    """YAML files by name. In a checkout the folder lies beside the package, in a wheel inside it."""
    folders = (_PACKAGE / kind, _PACKAGE.parent / kind)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
