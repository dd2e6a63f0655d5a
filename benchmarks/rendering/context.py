"""The names and filters that templates use: records, what reports say of them, facts of the code, and formats."""

from __future__ import annotations

import json
import re
import shlex
import statistics
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from rendering.guide import padding, read_guide
from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.presentation import table
from vrtspike.experiments.record import AblationRecord
from vrtspike.experiments.statistics import interval
from vrtspike.records.model_card import SHIPPED_NETWORK, ModelCard, card_path, read_card
from vrtspike.reporting.formatting import spaced_percent
from vrtspike.reporting.table import markdown_row

Record = dict[str, Any]

EXCERPT_STAGES, EXCERPT_FINDINGS = 8, 2
"""Numbers of stages and of findings in an excerpt of a report."""


def context(root: Path) -> dict[str, Any]:
    """Return the names that the templates of the checkout ``root`` use."""
    return {
        'record': lambda path: read_record(root / 'benchmarks' / f'{path}.json'),
        'records': lambda folder: read_records(root / 'benchmarks' / folder),
        'trained': partial(records_by_config, root),
        'model_card': partial(shipped_card, root),
        'guide': cache(partial(read_guide, root)),
        'code': cache(partial(code_facts, root)),
        'ablation_table': lambda record: table(msgspec.convert(record, AblationRecord)).markdown(),
        'interval': interval,
        'padding': padding,
        'zip': partial(zip, strict=True),
        'fail': fail,
        'report_excerpt': report_excerpt,
        'search_sections': search_sections,
    }


def read_record(path: Path) -> Record:
    """Return a record; an error if there is none, or if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise VrtSpikeError(f'{path}: no such record; make it, or remove what is written from it') from None
    except json.JSONDecodeError as error:
        raise VrtSpikeError(f'{path} is not JSON: {error}') from error


def read_records(folder: Path) -> dict[str, Record]:
    """Return the records of a folder by their name, sorted; none if there is no such folder."""
    return {path.stem: read_record(path) for path in sorted(folder.glob('*.json'))}


def records_by_config(root: Path, folder: str) -> dict[str, Record]:
    """Return the records of trained networks by their config; an error if one is not named like a config."""
    found = {}
    for name, record in read_records(root / 'benchmarks' / folder).items():
        paths = [f'configs/vrt_spike_{name}.py', f'configs/{name}.py']
        config = next((path for path in paths if (root / path).is_file()), None)
        if config is None:
            fail(f'a record in benchmarks/{folder} has no config: expected {paths[0]}; name the record like its config')
        found[config] = record
    return found


def shipped_card(root: Path) -> ModelCard | None:
    """Return the model card of the network in the package, or None if there is no network."""
    path = card_path(root / 'vrtspike' / SHIPPED_NETWORK)
    return read_card(path) if path.is_file() else None


def network_name(config: str) -> str:
    """Return the short name of a network, under which its record is filed."""
    return Path(config).stem.removeprefix('vrt_spike_')


def code_facts(root: Path) -> Any:
    from rendering.code_facts import CodeFacts  # it imports torch, which most pages do without

    return CodeFacts(root)


def fail(message: str) -> NoReturn:
    raise VrtSpikeError(message)


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


def search_sections(found: Record) -> dict[str, str]:
    """Return the sections of a search's report by their heading."""
    from vrtspike.tuner.record import from_json
    from vrtspike.tuner.report import markdown

    _, *parts = re.split(r'^## (.+)\n', markdown(from_json(found), 'en'), flags=re.MULTILINE)
    return {heading: text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def rounds(shares: Sequence[float]) -> str:
    """Return the median of the rounds' shares with the smallest and the largest; empty if there is none."""
    if not shares:
        return ''
    middle, low, high = (spaced_percent(share, 1) for share in (statistics.median(shares), min(shares), max(shares)))
    return middle if len(shares) == 1 else f'{middle} [{low}, {high}]'


def number_range(values: Iterable[float]) -> str:
    """Return a range, or one number if both ends are the same."""
    return '–'.join(dict.fromkeys(f'{value:,g}' for value in values))


def device(found: Record) -> str:
    """Return the device's name, with the number of threads that computed on a CPU."""
    if 'threads' not in found:
        return found['name']
    return f'{found["name"]}, {found["threads"]} thread{"s" if found["threads"] > 1 else ""}'


def measured_on(record: Record) -> str:
    """Return device, version and commit of a record."""
    return f'{device(record["device"])}, torch {record["versions"]["torch"]}, commit {record["commit"][:8]}'


FILTERS = {
    'number': lambda value, spec=',.0f': f'{value:{spec}}',
    'percent': lambda share, digits=1: spaced_percent(share, digits),
    'rounds': rounds,
    'number_range': number_range,
    'percent_range': lambda shares: f'{number_range(100 * share for share in shares)} %',
    'loss_range': lambda values: f'{number_range(values)} dB' if values[0] else f'< {values[1]:g} dB',
    'device': device,
    'network_name': network_name,
    'measured_on': measured_on,
    'closest': lambda items, key, value: min(items, key=lambda item: abs(item[key] - value)),
    'row': markdown_row,
    'median': statistics.median,
    'mean': statistics.mean,
    'shell': shlex.join,
}
