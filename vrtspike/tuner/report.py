"""The reports of a search: Markdown in two languages, one page with both, and the data as JSON.

Their texts are in ``vrtspike/reporting/templates/search_report.md``.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from vrtspike.candidates.training import changes_data_loading
from vrtspike.reporting.pages import render
from vrtspike.reporting.table import markdown_row
from vrtspike.runtime.atomic_write import write_text
from vrtspike.tuner.choosing import is_acceptable
from vrtspike.tuner.commands import commands
from vrtspike.tuner.pareto import front, points_of, svg
from vrtspike.tuner.record import SearchRecord, to_json
from vrtspike.tuner.trials import LEAST_SAVING, Trial, is_affordable, is_known

LANGUAGES = ('en', 'zh')
PICTURE = 'pareto.svg'


def write_reports(record: SearchRecord, folder: Path) -> None:
    """Write ``report.json``, ``report.md``, ``report.zh-CN.md``, ``report.html`` and ``pareto.svg``."""
    texts = {
        'report.json': json.dumps(to_json(record), indent=2) + '\n',
        'report.md': markdown(record, 'en'),
        'report.zh-CN.md': markdown(record, 'zh'),
        'report.html': page(record),
        PICTURE: svg(points_of(record)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)


def markdown(record: SearchRecord, language: str) -> str:
    """Return the report in a language."""
    return render(
        'search_report.md',
        record=record,
        say=lambda *texts_and_values: say(language, *texts_and_values),
        row=markdown_row,
        commands=commands(record),
        front=front(points_of(record)),
        verdict_of=partial(verdict_of, record=record),
        changes_data_loading=changes_data_loading,
        is_known=is_known,
    )


def say(language: str, english: str, chinese: str, *values: object) -> str:
    """Return one of two texts, filled with values."""
    return {'en': english, 'zh': chinese}[language].format(*values)


def page(record: SearchRecord) -> str:
    """Return the page: the report in both languages, one after the other, with the picture inside."""
    parser = MarkdownIt('commonmark', {'html': False}).enable('table')
    texts = [markdown(record, language) for language in LANGUAGES]
    image, figure = f'<p><img src="{PICTURE}" alt="" /></p>', f'<figure>{svg(points_of(record))}</figure>'
    reports = [Markup(parser.render(text).replace(image, figure)) for text in texts]
    return render('search_page.html', title=texts[0].splitlines()[0].removeprefix('# '), reports=reports)


def verdict_of(trial: Trial, record: SearchRecord) -> str:
    """Return the verdict on a measured candidate, as a key of the words in the template."""
    if record.best and trial.name in record.best.parts:
        return 'taken'
    added = [step for step in record.steps if step.added == trial.name]
    known = [step.difference for step in added if len(step.parts) > 1 and is_known(step.difference)]
    if not all(is_affordable(difference, record.max_loss_db) for difference in known):
        return 'too_lossy_together'
    if not trial.saves_time:
        if trial.result.is_slower:
            return 'slower'
        return 'unsure' if trial.result.saving >= LEAST_SAVING else 'nothing'
    if not record.fits(trial.result.peak_memory_mib):
        return 'too_large'
    if not is_acceptable(trial, record.max_loss_db):
        return 'too_lossy' if is_known(trial.difference_db) else 'unknown_db'
    return 'replaced' if any(step.replaces for step in added) else 'saves'
