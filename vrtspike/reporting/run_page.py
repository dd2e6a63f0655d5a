"""A report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from html import escape
from pathlib import Path

from vrtspike.analysis.advice import Finding
from vrtspike.analysis.report import Report
from vrtspike.reporting.plots import headline, panels_of, svg_of
from vrtspike.reporting.rows import Rows, summary, tables
from vrtspike.runtime.atomic_write import written_aside

CSS = """
:root { color-scheme: light; --ink: #30343b; --dim: #6b7280; --line: #e3e6ea; --accent: #0072B2; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
.sub { color: var(--dim); margin-top: 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: var(--dim); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1.2rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .8rem; }
figcaption { font-weight: 600; } figure svg { width: 100%; height: auto; }
.finding { border-left: 4px solid var(--accent); padding: .1rem 1rem; margin: 1rem 0; }
.finding p { margin: .25rem 0; } .finding h3 { margin: .2rem 0; font-size: 1rem; }
pre { background: #f5f7f9; border-radius: 6px; padding: .6rem .8rem; overflow-x: auto; font-size: .85rem; }
.scroll { overflow-x: auto; } tr.severe td { color: #b3261e; font-weight: 600; } tr.notable td { color: #8a5a00; }
li { margin: .3rem 0; }
"""


def save_page(report: Report, path: str | Path) -> None:
    """Write the page of a report."""
    with written_aside(path) as aside:
        aside.write_text(page(report), encoding='utf-8')


def page(report: Report) -> str:
    """Return the page of a report; whatever comes from the log is escaped."""
    parts = [
        f'<h1>{escape(report.name)}</h1><p class="sub">{escape(headline(report))}</p>',
        '<h2>Summary</h2><dl>',
        *(f'<dt>{escape(what)}</dt><dd>{escape(value)}</dd>' for what, value in summary(report)),
        '</dl>',
        '<h2>Findings</h2>',
        *(findings_html(finding) for finding in report.findings),
        '' if report.findings else '<p>Nothing stands out.</p>',
        '<h2>Pictures</h2><div class="plots">',
        *(f'<figure><figcaption>{panel.title}</figcaption>{svg_of(panel, report)}</figure>'
          for panel in panels_of(report)),
        '</div>',
        *map(table_html, tables(report)),
        '<h2>What these numbers can and cannot mean</h2><ul>' if report.warnings else '<ul>',
        *(f'<li>{escape(warning)}</li>' for warning in report.warnings),
        '</ul>',
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><title>{escape(report.name)}</title><style>{CSS}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + '\n'.join(parts) + '\n</body></html>\n'


def findings_html(finding: Finding) -> str:
    """Return one finding."""
    saving = finding.saves_at_most
    lines = '\n'.join(finding.config)
    return (
        f'<div class="finding"><h3>{escape(finding.title)}</h3><p>{escape(finding.evidence)}</p>'
        f'<p>{escape(finding.remedy)}</p>'
        + ('' if saving is None else f'<p class="sub">can save at most {saving:.0%}</p>')
        + (f'<pre>{escape(lines)}</pre>' if lines else '')
        + '</div>'
    )


def table_html(rows: Rows) -> str:
    """Return one table."""
    head = ''.join(f'<th>{escape(heading)}</th>' for heading in rows.headings)
    body = ''.join(
        f'<tr class="{escape(cells[-1])}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for cells in rows.cells
    )
    return f'<h2>{escape(rows.title)}</h2><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
