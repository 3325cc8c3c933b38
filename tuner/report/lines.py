"""Progress where no bar can be redrawn, in a file or a pipe: a line now and then."""

from __future__ import annotations

import time

from rich.console import Console

EVERY = 15.0  # seconds


class Lines:
    """Says how far something of `total` steps is every quarter of a minute, and when it is done."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._name, self._done, self._total = "done", 0, total
        self._said = time.monotonic()

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins, which is said at once."""
        self._name, self._done, self._total = name, 0, total
        self._say("")

    def advance(self, steps: int, remark: str = "") -> None:
        """So many more steps are done; `remark` is what else there is to say."""
        self._done += steps
        if steps and (self._done >= self._total or time.monotonic() - self._said > EVERY):
            self._say(remark)

    def _say(self, remark: str) -> None:
        self._said = time.monotonic()
        line = f"{self._name} {self._done}/{self._total}{f', {remark}' if remark else ''}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
