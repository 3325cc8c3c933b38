"""What a probe leaves behind: its files, and their mirror in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuner.probe.figures import draw_curves, draw_likeness, draw_maps, draw_quality
from tuner.probe.found import RedundancyMap
from tuner.probe.settings import Settings
from tuner.probe.tables import markdown
from tuner.report.style import save
from tuner.search.mirror import log_finished
from tuner.search.runfolder import RunFolder

FIGURES = {
    "quality.png": draw_quality,
    "similarity.png": draw_likeness,
    "retention.png": draw_curves,
    "groups.png": draw_maps,
}


def write(found: RedundancyMap, command: str, folder: Path) -> list[Path]:
    """Writes probe.json, probe.md and the pictures; returns them."""
    (folder / "probe.md").write_text(markdown(found, command), encoding="utf-8")
    for name, draw in FIGURES.items():
        save(draw(found), folder / name)
    return [found.save(folder), folder / "probe.md", *(folder / name for name in FIGURES)]


def mirror(found: RedundancyMap, settings: Settings, folder: RunFolder, files: Sequence[Path]) -> None:
    """Logs the probe to MLflow, into the run of an earlier call where there is one."""
    effects = {f"L{one.layer}/{one.method}/{one.retention:g}": one.difference for one in found.effects}
    alike = {
        f"L{one.layer}/similarity/{name}": getattr(one, name)
        for one in found.likeness
        for name in ("neighbour", "overall", "word")
    }
    tags = {"model": found.model, "kind": "probe", "metric": found.metric, "verdict": " ".join(found.verdict)}
    log_finished(
        folder,
        settings.runs,
        experiment=f"{found.model.rstrip('/').rsplit('/', 1)[-1].lower()}-{found.task}-probe",
        params=settings.to_plain(),
        tags=tags,
        values={"quality": found.quality, **effects, **alike},
        files=files,
    )
