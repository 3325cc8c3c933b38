"""The MLflow run that mirrors a search, a later choice from it, or a finished run of another kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tuner.search.context import Context
from tuner.search.runfolder import RunFolder
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


def log_finished(
    folder: RunFolder,
    runs: Path,
    experiment: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    values: Mapping[str, float],
    files: Sequence[Path],
) -> None:
    """Logs a run that is no search once it is done, into the MLflow run of an earlier call where there is one.

    Args:
        tags: for finding the run again.
        values: what was found, by name.
        files: the run's, of which copies are kept.
    """
    tracker = Tracker.open(
        runs,
        experiment=experiment,
        run_name=folder.name,
        params=params,
        tags={**tags, "run_folder": str(folder.path)},
        resume_run_id=folder.noted("tracking").get("run_id"),
    )
    if tracker.run_id is None:
        return
    folder.note("tracking", {"run_id": tracker.run_id})
    tracker.values(values, {})
    tracker.files([folder.path / "config.yaml", *files])
    tracker.close("FINISHED")


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
