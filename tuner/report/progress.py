"""A search on the terminal: one bar with the stage, the trials, the best policy so far and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tuner.search.outcome import TrialResult
from tuner.search.watch import Watcher


class ProgressWatcher(Watcher):
    """Draws what a search tells it; use it as a context manager."""

    def __init__(self, console: Console, cost: str) -> None:
        self._cost = cost
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressWatcher:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """A new bar below the finished ones."""
        self._task = self._progress.add_task(name, total=total, best="")

    def advance(self, steps: int = 1) -> None:
        """Moves the newest bar."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def trial(self, result: TrialResult, best: TrialResult | None) -> None:
        """Shows the best feasible policy beside the bar."""
        if self._task is None:
            return
        text = "nothing within the budget yet"
        if best is not None:
            text = f"best {best.difference:+.2%} at {best.costs[self._cost]:.3f} {self._cost}"
        self._progress.update(self._task, best=text)
