"""The reports of a search: Markdown in two languages, one page with everything in it, and the data as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from markupsafe import Markup

from vrtspike.reporting.pages import render
from vrtspike.runtime.atomic_write import write_text
from vrtspike.tuner.pareto import svg
from vrtspike.tuner.record import SearchRecord, to_json
from vrtspike.tuner.report.points import points_of
from vrtspike.tuner.report.sections import Section, sections
from vrtspike.tuner.report.texts import LANGUAGES
from vrtspike.tuner.report.view import View

__all__ = ['markdown', 'page', 'section_markdown', 'write_reports']


def write_reports(record: SearchRecord, folder: Path) -> None:
    """Write ``report.json``, ``report.md``, ``report.zh-CN.md``, ``report.html`` and ``pareto.svg``."""
    texts = {
        'report.json': json.dumps(to_json(record), indent=2) + '\n',
        'report.md': markdown(record, 'en'),
        'report.zh-CN.md': markdown(record, 'zh'),
        'report.html': page(record),
        'pareto.svg': svg(points_of(record)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)


def markdown(record: SearchRecord, language: str) -> str:
    """Return the report in a language."""
    view = View(record, language)
    parts = [f'# {view.title}']
    for section in sections(view):
        parts += [f'## {section.heading}', *(['![](pareto.svg)'] if section.key == 'front' else [])]
        parts.append(section_markdown(section))
    return '\n\n'.join(parts) + '\n'


def section_markdown(section: Section) -> str:
    """Return what is below the heading of a section, as Markdown."""
    return '\n\n'.join(block.markdown() for block in section.blocks)


def page(record: SearchRecord) -> str:
    """Return the page: the report in both languages one after the other, with the picture inside."""
    views = [View(record, language) for language in LANGUAGES]
    reports = [(view.title, sections(view)) for view in views]
    picture = Markup(svg(points_of(record)))
    return render('search_page.html', title=views[0].title, reports=reports, picture=picture)
