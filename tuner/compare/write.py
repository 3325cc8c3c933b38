"""What a comparison leaves behind: its files, and their mirror in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuner.compare.figure import draw
from tuner.compare.found import Compared
from tuner.compare.plan import KIND, Plan
from tuner.compare.tables import markdown
from tuner.report.style import save
from tuner.search.mirror import log_finished
from tuner.search.runfolder import RunFolder


def write(found: Compared, command: str, folder: Path) -> list[Path]:
    """Writes compare.json, compare.md and compare.png; returns them."""
    (folder / "compare.md").write_text(markdown(found, command), encoding="utf-8")
    save(draw(found), folder / "compare.png")
    return [found.save(folder), folder / "compare.md", folder / "compare.png"]


def mirror(found: Compared, plan: Plan, folder: RunFolder, files: Sequence[Path]) -> None:
    """Logs the comparison to MLflow: of every cell the metric, its change and its cost."""
    values = {"baseline": found.quality}
    for one in found.entries:
        if one.judged is not None:
            name = one.method.replace(" ", "-") if one.cell is None else one.cell.name
            change = found.judged_by.change(one.judged.difference)
            values |= {f"{name}/{found.metric}": one.judged.quality, f"{name}/difference": change}
            values |= {f"{name}/{cost}": ratio for cost, ratio in one.judged.costs.items()}
    log_finished(
        folder,
        plan.search.runs,
        experiment=f"{found.model.rstrip('/').rsplit('/', 1)[-1].lower()}-{found.task}-compare",
        params=plan.to_plain(),
        tags={"model": found.model, "kind": KIND, "metric": found.metric, "verdict": " ".join(found.verdict)},
        values=values,
        files=files,
    )
