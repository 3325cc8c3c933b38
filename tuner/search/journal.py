"""Results one a line of a JSONL file, so that a run that is interrupted loses at most the one being worked on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def append(path: Path, content: Mapping[str, Any]) -> None:
    """Remembers one more result, for good."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(dict(content))}\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """What is in the file, if it is there. A last line that is cut off is taken out of it: the run died while writing
    it."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    yield from map(json.loads, whole.splitlines())
