"""Secrets kept out of logs and pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_SECRET = r"[\w.-]*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|credentials?)"
_MASKS = (
    (re.compile(rf"(?i)(?<!\S)(--?{_SECRET}(?:\s+|=))(?:'[^']*'|\"[^\"]*\"|\S+)"), r"\1***"),
    (re.compile(rf"(?i)\b({_SECRET}=)(?:'[^']*'|\"[^\"]*\"|[^\s&'\"]+)"), r"\1***"),
    (re.compile(r"(://)[^\s/]+@"), r"\1***@"),
    (re.compile(r"\b(hf_|ghp_|github_pat_|glpat-|sk-)[\w-]{16,}"), r"\1***"),
)


def mask(text: str) -> str:
    """Replaces passwords in URIs, values of options and variables named like a secret, and well-known token formats."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def printable(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as text for a log or a page: nested names joined by dots, argument lists by spaces, secrets masked."""
    return {name: "***" if re.fullmatch(f"(?i){_SECRET}", name) else mask(text) for name, text in _flat(values)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            words = isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)
            yield f"{prefix}{name}", shlex.join(value) if words else str(value)
