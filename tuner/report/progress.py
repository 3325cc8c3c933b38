"""A search on the terminal: a bar for each stage, with the policy that leads and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tuner.report.facts import points
from tuner.report.lines import Lines
from tuner.search.outcome import TrialResult
from tuner.search.watch import Watcher
from tuner.tasks.metric import Metric


class ProgressWatcher(Watcher):
    """Draws what a search tells it, in lines where the console is no terminal; use it as a context manager."""

    def __init__(self, console: Console, cost: str, metric: Metric) -> None:
        self._cost, self._metric, self._console = cost, metric, console
        self._lines = None if console.is_terminal else Lines(console, total=0)
        self._leader = ""
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
        if self._lines is None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is None:
            self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """A new bar below the finished ones."""
        self._leader = ""
        if self._lines is not None:
            self._lines.stage(name, total)
            return
        self._task = self._progress.add_task(name, total=total, best="")

    def advance(self, steps: int = 1) -> None:
        """Moves the newest bar."""
        if self._lines is not None:
            self._lines.advance(steps, self._leader)
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def trial(self, result: TrialResult, best: TrialResult | None) -> None:
        """Shows beside the bar which policy leads."""
        self._leader = "nothing within the budget yet"
        if best is not None:
            change = points(self._metric.change(best.difference))
            self._leader = f"best {change} points at {best.costs[self._cost]:.3f} {self._cost}"
        if self._task is not None:
            self._progress.update(self._task, best=self._leader)

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
