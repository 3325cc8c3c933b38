"""The files of a report."""

from __future__ import annotations

from pathlib import Path

from tuner.evaluate.records import Evaluation
from tuner.report.page import html
from tuner.report.plots import front, sites
from tuner.report.tables import markdown, trials_csv
from tuner.search.outcome import Outcome


def write(
    outcome: Outcome, folder: Path, chosen: Evaluation | None = None, baseline: Evaluation | None = None
) -> list[Path]:
    """Writes front.png, sites.png (if a policy was chosen), trials.csv, report.md and report.html.

    Args:
        chosen, baseline: evaluations on the same utterances, for the picture of the audio tokens left at each layer.

    Returns:
        The files, in that order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "front.png"]
    front(outcome, files[0])
    if outcome.chosen is not None:
        files.append(folder / "sites.png")
        sites(outcome, files[-1], chosen, baseline)
    files += [folder / "trials.csv", folder / "report.md", folder / "report.html"]
    trials_csv(outcome, files[-3])
    files[-2].write_text(markdown(outcome), encoding="utf-8")
    html(outcome, files[-1], chosen, baseline)
    return files
