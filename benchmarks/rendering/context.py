"""What templates can ask for: records as they were written, what reports say of them, and facts of the code."""

from __future__ import annotations

import json
import re
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from rendering.code_facts import CodeFacts
from rendering.guide import read_guide
from rendering.guide_verdicts import padding
from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.presentation import table
from vrtspike.experiments.record import AblationRecord
from vrtspike.experiments.statistics import Interval, interval

Record = dict[str, Any]

EXCERPT_STAGES, EXCERPT_FINDINGS = 8, 2
"""How much of a report's ranking, and how many of its findings, an excerpt shows."""
SEARCH_SECTIONS = ('summary', 'candidates', 'together', 'output')


def context(root: Path) -> dict[str, Any]:
    """Return the names that the templates of the checkout ``root`` use."""
    return {
        'record': lambda path: read_record(root / 'benchmarks' / f'{path}.json'),
        'records': lambda folder: read_records(root / 'benchmarks' / folder),
        'trained': partial(records_by_config, root),
        'guide': cache(partial(read_guide, root)),
        'code': CodeFacts(root),
        'ablation_table': ablation_table,
        'paired_difference': paired_difference,
        'padding': padding,
        'zip': partial(zip, strict=True),
        'fail': fail,
        'report_excerpt': report_excerpt,
        'search_report': search_report,
    }


def read_record(path: Path) -> Record:
    """Return a record; an error where it is not there or no JSON."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise VrtSpikeError(f'{path}: no such record; make it, or take out what is written from it') from None
    except json.JSONDecodeError as error:
        raise VrtSpikeError(f'{path} is no JSON: {error}') from error


def read_records(folder: Path) -> dict[str, Record]:
    """Return the records of a folder by their name, sorted; none where there is no such folder."""
    return {path.stem: read_record(path) for path in sorted(folder.glob('*.json'))}


def records_by_config(root: Path, folder: str) -> dict[str, Record]:
    """Return the records of trained networks by their config; an error where one is not named like a config."""
    found = {}
    for name, record in read_records(root / 'benchmarks' / folder).items():
        config = f'configs/vrt_spike_{name}.py'
        if not (root / config).is_file():
            path = root / 'benchmarks' / folder / f'{name}.json'
            raise VrtSpikeError(f'{path} has no config: expected {config}; name the record like its config')
        found[config] = record
    return found


def fail(message: str) -> NoReturn:
    raise VrtSpikeError(message)


def ablation_table(record: Record) -> str:
    """Return the table of an ablation's record as Markdown."""
    return table(msgspec.convert(record, AblationRecord)).markdown()


def paired_difference(plain: list[Record], changed: list[Record]) -> Interval:
    """Return the mean difference in PSNR between runs of the same seeds, with Student's 95 % interval."""
    return interval([b['psnr_db'] - a['psnr_db'] for a, b in zip(plain, changed, strict=True)])


def report_excerpt(report: Record) -> str:
    """Return the summary, the first stages of the ranking and the first findings of a report's text."""
    from vrtspike.analysis.report import Report
    from vrtspike.reporting.terminal import report_text

    return shorten_report(report_text(msgspec.convert(report, Report)))


def shorten_report(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    ranked = [i for i, line in enumerate(lines) if re.match(r' +\d+\. ', line)]
    kept = lines[: max(ranked[:EXCERPT_STAGES], default=0) + 1] + ['  ...'] * (len(ranked) > EXCERPT_STAGES) + ['']
    if 'Findings' in lines:
        first = lines.index('Findings')
        ends = (f'{EXCERPT_FINDINGS + 1}. ', 'Limits')
        kept += lines[first : next((i for i in range(first, len(lines)) if lines[i].startswith(ends)), None)]
    return '\n'.join(kept).rstrip()


def search_report(found: Record) -> str:
    """Return some sections of the report of a search, as they read in its own report.md."""
    from vrtspike.tuner.record import from_json
    from vrtspike.tuner.report import section_markdown
    from vrtspike.tuner.report.sections import sections
    from vrtspike.tuner.report.view import View

    parts = []
    for section in sections(View(from_json(found), 'en')):
        if section.key in SEARCH_SECTIONS:
            parts += [f'**{section.heading}**', section_markdown(section)]
    return '\n\n'.join(parts)
