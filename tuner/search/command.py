"""`tune select`: parses, calls, prints. And how the outcome of any search is printed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner.options import PATH, budget_option, console

if TYPE_CHECKING:
    from tuner.search.outcome import Outcome


@click.command()
@click.option("--run", "name", required=True, help="Name of a finished run, or its folder.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
@budget_option(required=True)
@click.option("--tolerance", type=float, help="Points of the metric that count as no worse.  [default: the run's]")
@click.option("--finalists", type=int, help="Policies re-judged on the selection split.  [default: the run's]")
@click.option("--policies", type=PATH, help="Where the policy goes.  [default: the run's]")
@click.option("--device", help="cuda, mps or cpu.  [default: the run's]")
@click.option("--dtype", help="auto, float32, bfloat16 or float16.  [default: the run's]")
@click.option("--batch-size", type=int, help="[default: the run's]")
def select(name: str, runs: Path, tolerance: float | None, **given: Any) -> None:
    """Chooses another policy from a finished run, by other budgets and without a new search.

    \b
    tune select --run reference-asr-0.70-20260101-120000 --budget 0.5
    tune select --run runs/mine --budget 0.6 --budget kv_cache=0.6 --tolerance 0.5
    """
    from tuner.report.progress import ProgressWatcher
    from tuner.search.runfolder import RunFolder
    from tuner.search.select import select as choose
    from tuner.search.settings import Settings

    folder = RunFolder.find_run(name, runs)
    anew = {option: value for option, value in given.items() if value is not None}
    anew |= {} if tolerance is None else {"tolerance": tolerance / 100}
    anew |= {"runs": folder.path.parent, "command": shlex.join(["tune", *sys.argv[1:]])}
    settings = Settings.resumed(folder.config(), anew)
    bounds = ", ".join(f"{cost} <= {ratio:g} of the baseline" for cost, ratio in settings.budgets.items())
    console.print(f"Selecting from {folder.path}: {bounds}", highlight=False, soft_wrap=True)
    with ProgressWatcher(console, settings.main_cost, settings.judged.metric) as watcher:
        outcome = choose(settings, folder.path, watcher)
    print_outcome(outcome, way_out="select with a slightly lower budget")


def print_outcome(outcome: Outcome, way_out: str) -> None:
    """The final table, the verdict and where everything lies; fails with `way_out` where no policy was chosen."""
    from tuner.report import facts
    from tuner.report.tables import final_table

    console.print(final_table(outcome))
    console.print()
    console.print(facts.verdict(outcome), highlight=False)
    console.print(f"\nreport  {outcome.run / 'report' / 'report.html'}", highlight=False, soft_wrap=True)
    if outcome.policy_file is None:
        raise click.ClickException(f"no policy was chosen; {way_out}")
    console.print(f"policy  {outcome.policy_file}\n\n{facts.loading(outcome)}", highlight=False, soft_wrap=True)
