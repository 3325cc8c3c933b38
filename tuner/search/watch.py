"""What a search tells whoever watches it; the command line draws a progress bar from it."""

from __future__ import annotations

from tuner.search.outcome import TrialResult


class Watcher:
    """Hears of every stage and trial; this one keeps quiet."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def advance(self, steps: int = 1) -> None:
        """Steps of the stage are done."""

    def trial(self, result: TrialResult, best: TrialResult | None) -> None:
        """A trial ended; `best` is the finalist that leads so far."""

    def say(self, text: str) -> None:
        """Something that the user wants to know and nothing is wrong with."""
