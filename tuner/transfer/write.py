"""What a transfer leaves behind: its files, and their mirror in MLflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tuner.report.style import save
from tuner.search.runfolder import RunFolder
from tuner.tracking import Tracker
from tuner.transfer.cells import Cell
from tuner.transfer.figure import draw
from tuner.transfer.settings import Settings
from tuner.transfer.tables import markdown


def write(cells: Sequence[Cell], command: str, folder: Path) -> list[Path]:
    """Writes transfer.json, transfer.md and transfer.png; returns them."""
    files = [folder / f"transfer.{suffix}" for suffix in ("json", "md", "png")]
    content = {"command": command, "cells": [cell.to_json() for cell in cells]}
    # An interval of one utterance has no bounds, for which JSON has no word.
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    files[0].write_text(json.dumps(plain, indent=1), encoding="utf-8")
    files[1].write_text(markdown(cells, command), encoding="utf-8")
    save(draw(cells), files[2])
    return files


def mirror(cells: Sequence[Cell], model: str, settings: Settings, folder: RunFolder, files: Sequence[Path]) -> None:
    """Logs the transfer to MLflow, into the run of an earlier call where there is one."""
    tracker = Tracker.open(
        settings.runs,
        experiment=f"{model.rstrip('/').rsplit('/', 1)[-1].lower()}-transfer",
        run_name=folder.name,
        params=settings.to_plain(),
        tags={"model": model, "run_folder": str(folder.path), "kind": "transfer"},
        resume_run_id=folder.noted("tracking").get("run_id"),
    )
    if tracker.run_id is None:
        return
    folder.note("tracking", {"run_id": tracker.run_id})
    values: dict[str, float] = {}
    for cell in cells:
        place, judged = cell.place, cell.judged
        if place.speaker is None:
            name = f"{judged.label}/{place.task}/{place.dataset.replace('/', '_')}/{place.condition}"
            values[f"{name}/{place.metric}"] = judged.quality
            values[f"{name}/change"] = cell.metric.change(judged.difference)
            values[f"{name}/prefill_flops"] = judged.costs["prefill_flops"]
    tracker.values(values, {"policies": ", ".join(settings.policies)})
    tracker.files([folder.path / "config.yaml", *files])
    tracker.close("FINISHED")
