"""The MLflow run that mirrors a search or a later choice from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tuner.search.context import Context
from tuner.tracking import Tracker


@contextmanager
def mirrored(context: Context) -> Iterator[Tracker]:
    """Within it the run is open; it ends as finished, failed, or killed by Ctrl-C."""
    tracker = _open(context)
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)


def _open(context: Context) -> Tracker:
    """Starts it, or goes on with the one it had."""
    tracker = Tracker.open(
        context.settings.runs,
        experiment=f"{context.loaded.short_name}-{context.task.name}",
        run_name=context.folder.name,
        params=context.settings.to_plain(),
        tags={"model": context.loaded.id, "run_folder": str(context.folder.results)},
        resume_run_id=context.folder.noted("tracking").get("run_id"),
        metric=context.task.metric,
    )
    if tracker.run_id is not None:
        context.folder.note("tracking", {"run_id": tracker.run_id})
    return tracker
