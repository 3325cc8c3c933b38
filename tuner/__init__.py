"""Finds where and how strongly a speech LLM's audio tokens can be merged, and merges them.

The public names are loaded when they are first used: importing the package costs nothing, and applying a policy never
loads what only a search needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.policy import MergeSite, Policy

__version__ = "0.1.0"
__all__ = ["MergeSite", "Policy", "__version__", "search"]

_HOMES = {"MergeSite": "tuner.policy", "Policy": "tuner.policy"}


def __getattr__(name: str) -> object:
    if name == "search":
        return importlib.import_module("tuner.search")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tuner' has no attribute {name!r}")
