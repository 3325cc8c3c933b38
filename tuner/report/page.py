"""The report as one HTML file: pictures inside, readable without scripts and without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from tuner.evaluate.records import Evaluation
from tuner.report import facts, plots, tables
from tuner.report.style import save
from tuner.search.outcome import Outcome

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.verdict { border-left: 4px solid #0072B2; background: #f3f7fa; padding: .7rem 1rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: right; vertical-align: top; }
th { border-bottom-color: #888; } th:first-child, td:first-child, .text td { text-align: left; }
tr.chosen { font-weight: 600; background: #fdf0e7; }
pre { background: #f5f5f5; padding: .7rem 1rem; overflow-x: auto; }
small { font-weight: 400; color: #555; white-space: nowrap; }
"""
# Should anything get past the escaping, the browser still loads and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def html(outcome: Outcome, path: Path, chosen: Evaluation | None = None, baseline: Evaluation | None = None) -> None:
    """Writes the page.

    Args:
        chosen, baseline: evaluations on the same utterances, for the picture of the audio tokens left at each layer.
    """
    title = escape(facts.subject(outcome))
    body = "\n".join(_body(outcome, chosen, baseline))
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _body(outcome: Outcome, chosen: Evaluation | None, baseline: Evaluation | None) -> Iterator[str]:
    yield f'<p class="verdict">{escape(facts.verdict(outcome))}</p>'
    yield _picture(plots.draw_front(outcome), "All trials: change in quality against cost, with front and budget")
    if outcome.judgements:
        yield "<h2>Judged on held-out speech</h2>"
        yield _final(outcome)
        yield f"<p>{escape(tables.note(outcome))}</p>"
    if (code := facts.loading(outcome)) is not None:
        yield f"<h2>Use</h2>\n<pre><code>{escape(code)}</code></pre>"
    if outcome.chosen is not None:
        yield f"<h2>Where it merges</h2>\n<p>{escape(facts.sites(outcome.chosen) or 'Nowhere.')}</p>"
        yield _picture(plots.draw_sites(outcome, chosen, baseline), "The chosen policy over the decoder's depth")
    if rows := tables.front_rows(outcome):
        yield "<h2>The front on the search split</h2>"
        yield _table(tables.front_header(), [[escape(cell) for cell in row] for row in rows])
    yield "<h2>Settings</h2>"
    settings = [[escape(name), escape(value)] for name, value in tables.settings(outcome).items()]
    yield _table(("Setting", "Value"), settings, kind="text")
    if (line := tables.command(outcome)) is not None:
        yield f"<h2>Command</h2>\n<pre><code>{escape(line)}</code></pre>"


def _final(outcome: Outcome) -> str:
    rows = tables.final_rows(outcome)
    cells = [
        [
            escape(row.split),
            escape(row.policy),
            _with_bounds(row.quality, row.quality_interval),
            *([escape(row.beside)] if row.beside else []),
            _with_bounds(row.difference, row.difference_interval),
            *(escape(cost) for cost in row.costs),
            escape(row.broken),
        ]
        for row in rows
    ]
    return _table(tables.final_header(outcome), cells, [row.chosen for row in rows])


def _with_bounds(value: str, bounds: str) -> str:
    return escape(value) + (f"<br><small>{escape(bounds)}</small>" if bounds else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], chosen: Sequence[bool] = (), kind: str = "") -> str:
    """A table of cells that are HTML already; the headings are text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = []
    for index, row in enumerate(rows):
        start = '<tr class="chosen">' if index < len(chosen) and chosen[index] else "<tr>"
        lines.append(start + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return f'<div class="wide"><table class="{kind}">\n<tr>{head}</tr>\n' + "\n".join(lines) + "\n</table></div>"


def _picture(figure: Figure, text: str) -> str:
    buffer = io.BytesIO()
    save(figure, buffer)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'
