"""Searching for a policy: `from tuner.search import Settings, search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.search.run import search
    from tuner.search.settings import Settings

__all__ = ["Settings", "search"]


def __getattr__(name: str) -> object:
    """Loads the search only when it is asked for: the report needs its plain values without Optuna."""
    if name == "search":
        from tuner.search.run import search

        return search
    if name == "Settings":
        from tuner.search.settings import Settings

        return Settings
    raise AttributeError(f"module 'tuner.search' has no attribute {name!r}")
