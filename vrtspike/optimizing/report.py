"""The report: Markdown in two languages, one self-contained page, all of it from one JSON-ready dict."""

from __future__ import annotations

import json
import shlex
from html import escape
from pathlib import Path
from typing import Any

from vrtspike.analysis.page import CSS
from vrtspike.files import written_aside
from vrtspike.optimizing.pareto import front, svg
from vrtspike.optimizing.search import LEAST_SAVING
from vrtspike.optimizing.words import word

PROMISE = 0.70
"""What the guide's combined plan promised to take off an iteration."""


def write_reports(found: dict[str, Any], folder: Path) -> None:
    """Write ``report.json``, ``report.md``, ``report.zh-CN.md`` and ``report.html``."""
    texts = {
        'report.json': json.dumps(found, indent=2) + '\n',
        'report.md': markdown(found, 'en'),
        'report.zh-CN.md': markdown(found, 'zh'),
        'report.html': page(found),
    }
    for name, text in texts.items():
        with written_aside(folder / name) as aside:
            aside.write_text(text, encoding='utf-8')


def markdown(found: dict[str, Any], language: str) -> str:
    """Return the report in a language."""
    parts = [f'# {title(found, language)}']
    for heading, body in sections(found, language):
        parts.append(f'## {heading}')
        parts += [as_markdown(item) for item in body]
    return '\n\n'.join(parts) + '\n'


def page(found: dict[str, Any]) -> str:
    """Return the page, in both languages one after the other, with the picture inside."""
    body = []
    for language in ('en', 'zh'):
        body.append(f'<h1>{escape(title(found, language))}</h1>')
        for heading, items in sections(found, language):
            body.append(f'<h2>{escape(heading)}</h2>')
            if heading == word('front', language):
                body.append(f'<figure>{svg(points(found))}</figure>')
            body += [as_html(item) for item in items]
    head = f'<meta charset="utf-8"><title>{escape(title(found, "en"))}</title><style>{CSS}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + '\n'.join(body) + '\n</body></html>\n'


def title(found: dict[str, Any], language: str) -> str:
    """Return the report's title."""
    return word('title', language, config=found['config'])


def sections(found: dict[str, Any], language: str) -> list[tuple[str, list[Any]]]:
    """Return headings and what is below them: texts, lists of texts, tables (dicts), code (with a newline)."""

    def say(key: str, **values: object) -> str:
        return word(key, language, **values)

    made = [
        ('summary', summary(found, say)),
        ('bottlenecks', [bottleneck_table(found, say)]),
        ('remedies', [remedy_table(found, say)]),
        ('together', [step_table(found, say), say('interaction_note')] if found['steps'] else []),
        ('front', [say('front_note', names=', '.join(front(points(found))))]),
        ('did_nothing', [nothing(found, say)]),
        ('not_tried', [not_tried(found)]),
        ('output', [f'{found["output"]["text"]}\n']),
        ('checklist', [checklist(found, say)]),
        ('reproduce', [say('reproduce_note'), f'{commands(found)}\n']),
    ]
    return [(say(key), [item for item in body if item]) for key, body in made if any(body)]


def summary(found: dict[str, Any], say: Any) -> list[Any]:
    """Return what matters most."""
    lines = [
        say('what', objective=say(found['objective']), device=found['device']['name'],
            shape=' x '.join(map(str, found['shape'])), torch=found['versions']['torch'])
    ]  # fmt: skip
    lines += [say('cpu')] if found['cpu_overrides'] else []
    best = best_of(found)
    if best:
        low, high = best['interval']
        lines.append(say('best', ms=best['ms_per_sample'], default=best['default_ms_per_sample'],
                         saving=best['saving'], low=low, high=high))  # fmt: skip
    else:
        lines.append(say('nothing_found'))
    published = found['published']
    if published and 'saving' in published:
        # The trial measures the published path against the default.
        lines.append(say('published', ms=published['ms_per_sample'], saving=1 - 1 / (1 - published['saving'])))
    saving = best['saving'] if best else 0.0
    met = saving >= PROMISE
    verdict = say('promise_met' if met else 'promise_missed', saving=saving, loss=found['max_loss_db'])
    lines.append(say('promise', verdict=verdict))
    quality = found['quality']
    if quality:
        reference = quality['variants'][0]
        lines.append(say('quality_known', iterations=quality['iterations'], gain=reference['gain_db']['mean'],
                         seeds=', '.join(map(str, quality['seeds']))))  # fmt: skip
    else:
        lines.append(say('quality_unknown', why=say(found['no_quality'])))
    return [lines]


def best_of(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the last step that was kept."""
    return next((step for step in reversed(found['steps']) if step['kept']), None)


def bottleneck_table(found: dict[str, Any], say: Any) -> dict[str, Any]:
    """Return the stages by share."""
    roofline = found['profile'].get('roofline') or {}
    rows = []
    for entry in found['profile']['bottlenecks']:
        interval = entry['share_interval']
        reached = roofline.get(entry['stage']) or {}
        rows.append([
            entry['stage'], f'{entry["share"]:.1%}',
            f'{interval[0]:.1%} - {interval[1]:.1%}' if interval else '',
            f'{reached["efficiency"]:.0%}' if reached else '', reached.get('bound', ''),
        ])  # fmt: skip
    heads = [say(key) for key in ('stage', 'share', 'interval', 'roofline_share', 'bound_by')]
    return {'headings': heads, 'rows': rows}


def remedy_table(found: dict[str, Any], say: Any) -> dict[str, Any] | None:
    """Return the measured remedies, best first."""
    measured = sorted((trial for trial in found['trials'] if 'saving' in trial), key=lambda trial: -trial['saving'])
    rows = [
        [trial['name'], say(trial['kind']), f'{trial["ms_per_sample"]:.1f}', f'{trial["saving"]:+.1%}',
         '{:+.1%} / {:+.1%}'.format(*trial['interval']), f'{trial["predicted_saving"]:+.1%}',
         '' if trial['peak_memory_mib'] is None else f'{trial["peak_memory_mib"]:.0f}',
         decibels(trial, say)]
        for trial in measured
    ]  # fmt: skip
    heads = [say(key) for key in ('remedy', 'kind', 'ms', 'saved', 'range', 'predicted', 'memory', 'db')]
    return {'headings': heads, 'rows': rows} if rows else None


def decibels(trial: dict[str, Any], say: Any) -> str:
    """Return what a trial costs in dB."""
    if trial['kind'] == 'exact':
        return '0'
    found = trial.get('difference_db')
    if not found:
        return say('not_measured')
    if found['verdict'] == 'not informative':
        return say('not informative')
    return f'{found["mean"]:+.2f} [{found["low"]:+.2f}, {found["high"]:+.2f}]'


def step_table(found: dict[str, Any], say: Any) -> dict[str, Any]:
    """Return what each addition did."""
    rows = [
        [step['added'], say('yes' if step['kept'] else 'no'),
         f'{step["saving"]:+.1%}' if 'saving' in step else step.get('failure', ''),
         f'{step["interaction"]:.2f}' if step['interaction'] else '',
         f'{step["peak_memory_mib"]:.0f}' if step.get('peak_memory_mib') else '']
        for step in found['steps']
    ]  # fmt: skip
    return {'headings': [say(key) for key in ('added', 'kept', 'in_all', 'interaction', 'memory')], 'rows': rows}


def nothing(found: dict[str, Any], say: Any) -> list[str]:
    """Return the remedies that were measured and saved nothing."""
    idle = [trial for trial in found['trials'] if trial.get('saving', 1) < LEAST_SAVING]
    return [say('nothing_row', name=t['name'], saving=t['saving'], low=t['interval'][0], high=t['interval'][1])
            for t in idle]  # fmt: skip


def not_tried(found: dict[str, Any]) -> list[str]:
    """Return what has no numbers, and why."""
    return [f'{t["name"]}: {t.get("skipped") or t.get("failure")}' for t in found['trials'] if 'saving' not in t]


def checklist(found: dict[str, Any], say: Any) -> list[str]:
    """Return what to do next."""
    path = found['output']['path']
    return [say('check_default', path=path), say('check_quality', path=path), say('check_stages')]


def commands(found: dict[str, Any]) -> str:
    """Return the command of every measured row."""
    shape = ' '.join(map(str, found['shape']))
    again = [shlex.join(found['command'])]
    if found['objective'] == 'train':
        compare = f'python tools/benchmark.py {found["config_path"]} {found["folder"]}/trials'
        again += [
            f'{compare}/{trial["name"]}.py --shape {shape}'
            for trial in [*found['trials'], *found['steps']]
            if 'saving' in trial
        ]
    return '\n'.join(dict.fromkeys(again))


def points(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the default and every measured trial as points: ``name``, ``ms``, ``mib``, ``db`` (None: not known)."""
    measured = [trial for trial in [*found['trials'], *found['steps']] if 'saving' in trial]
    if not measured:
        return []
    default = measured[0]['default_ms_per_sample']
    made = {'default': {'name': 'default', 'ms': default, 'mib': found['default_memory_mib'], 'db': 0.0}}
    for trial in measured:
        difference = trial.get('difference_db')
        known = difference and difference['verdict'] != 'not informative'
        db = 0.0 if trial['kind'] == 'exact' else difference['mean'] if known else None
        # Relative to one default, since its absolute time swings from trial to trial.
        ms = default * (1 - trial['saving'])
        made[trial['name']] = {'name': trial['name'], 'ms': ms, 'mib': trial['peak_memory_mib'], 'db': db}
    return list(made.values())


def as_markdown(item: Any) -> str:
    """Return one item of a section as Markdown."""
    if isinstance(item, list):
        return '\n'.join(f'- {line}' for line in item)
    if isinstance(item, dict):
        rows = [item['headings'], ['---', *['--:'] * (len(item['headings']) - 1)], *item['rows']]
        return '\n'.join(f'| {" | ".join(row)} |' for row in rows)
    return f'```\n{item}```' if item.endswith('\n') else item


def as_html(item: Any) -> str:
    """Return one item of a section as HTML."""
    if isinstance(item, list):
        return '<ul>' + ''.join(f'<li>{escape(line)}</li>' for line in item) + '</ul>'
    if isinstance(item, dict):
        head = ''.join(f'<th>{escape(cell)}</th>' for cell in item['headings'])
        body = ''.join('<tr>' + ''.join(f'<td>{escape(cell)}</td>' for cell in row) + '</tr>' for row in item['rows'])
        return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    return f'<pre>{escape(item)}</pre>' if item.endswith('\n') else f'<p>{escape(item)}</p>'
