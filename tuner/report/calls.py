"""A benchmark on the terminal: one bar over all timed calls, drawn between them so that it takes no time from them."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tuner.report.lines import Lines

_PATIENCE = 2.0  # seconds that nobody needs a bar for


class CallProgress:
    """Shows itself when it takes long, in lines where the console is no terminal; use it as a context manager."""

    def __init__(self, console: Console, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
        # No refreshing thread, which would share the processor with what is measured.
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=total)
        self._lines = None if console.is_terminal else Lines(console, total)
        self._began = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._progress.stop()

    def advance(self, what: str, calls: int) -> None:
        """So many more calls are done, and `what` is measured now."""
        if self._lines is not None:
            self._lines.advance(calls, what)
            return
        if not self._shown and time.monotonic() - self._began > _PATIENCE:
            self._progress.start()
            self._shown = True
        self._progress.update(self._task, description=what, advance=calls)
        if self._shown:
            self._progress.refresh()
