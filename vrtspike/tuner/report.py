"""The report: Markdown in two languages, one self-contained page, all of it from one JSON-ready dict."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vrtspike.experiments.variants import REFERENCE
from vrtspike.reporting.pages import environment
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.tuner.candidates import reads_data
from vrtspike.tuner.commands import commands
from vrtspike.tuner.pareto import front, svg
from vrtspike.tuner.quality import acceptable
from vrtspike.tuner.search import LEAST_SAVING, Trial, affordable, changes_network, is_known, saves
from vrtspike.tuner.words import word

PROMISE = 0.70
"""What the guide's combined plan promised to take off an iteration."""

Found = dict[str, Any]
Say = Callable[..., str]


def write_reports(found: Found, folder: Path) -> None:
    """Write ``report.json``, ``report.md``, ``report.zh-CN.md``, ``report.html`` and ``pareto.svg``."""
    texts = {
        'report.json': json.dumps(found, indent=2) + '\n',
        'report.md': markdown(found, 'en'),
        'report.zh-CN.md': markdown(found, 'zh'),
        'report.html': page(found),
        'pareto.svg': svg(points(found)),
    }
    for name, text in texts.items():
        with written_aside(folder / name) as aside:
            aside.write_text(text, encoding='utf-8')


def markdown(found: Found, language: str) -> str:
    """Return the report in a language."""
    parts = [f'# {title(found, language)}']
    for key, body in sections(found, language):
        parts.append(f'## {word(key, language)}')
        parts += ['![](pareto.svg)'] if key == 'front' else []
        parts += [as_markdown(item) for item in body]
    return '\n\n'.join(parts) + '\n'


def page(found: Found) -> str:
    """Return the page, in both languages one after the other, with the picture inside."""
    picture, body = svg(points(found)), []
    for language in ('en', 'zh'):
        body.append(f'<h1>{escape(title(found, language))}</h1>')
        for key, items in sections(found, language):
            body.append(f'<h2>{escape(word(key, language))}</h2>')
            body += [f'<figure>{picture}</figure>'] if key == 'front' else []
            body += [as_html(item) for item in items]
    template = "{% extends 'base.html' %}{% block body %}{{ body }}{% endblock %}"
    return environment().from_string(template).render(title=title(found, 'en'), body=Markup('\n'.join(body)))


def title(found: Found, language: str) -> str:
    """Return the report's title."""
    return word('title', language, config=found['config'])


def sections(found: Found, language: str) -> list[tuple[str, list[Any]]]:
    """Return headings' words and what is below them: texts, lists, tables (dicts), code (ends with a newline)."""
    say = partial(word, language=language)
    made = [
        ('summary', [summary(found, say)]),
        ('bottlenecks', [bottleneck_table(found, say)]),
        ('remedies', [remedy_table(found, say)]),
        ('together', [step_table(found, say), say('interaction_note')] if found['steps'] else []),
        ('front', [say('front_note', names=', '.join(front(points(found)))), say('picture')]),
        ('did_nothing', [nothing(found, say)]),
        ('not_tried', [not_tried(found, say)]),
        ('output', [f'{found["output"]["text"].rstrip()}\n']),
        ('checklist', [checklist(found, say)]),
        ('reproduce', [say('reproduce_note'), f'{commands(found)}\n']),
    ]
    return [(key, [item for item in body if item]) for key, body in made if any(body)]


def summary(found: Found, say: Say) -> list[str]:
    """Return what matters most."""
    lines = [
        say('what', objective=say(found['objective']), device=found['device']['name'],
            shape=' x '.join(map(str, found['shape'])), torch=found['versions']['torch'])
    ]  # fmt: skip
    lines += [say('cpu')] if found['cpu_overrides'] else []
    for entry in found['profile']['bottlenecks'][:1]:
        lines.append(say('first_bottleneck', stage=entry['stage'], share=entry['share'], of=whole(found, say)))
    best = best_of(found)
    if best:
        low, high = best['interval']
        lines.append(say('best', ms=best['ms_per_sample'], default=best['default_ms_per_sample'],
                         saving=best['saving'], low=low, high=high))  # fmt: skip
    else:
        lines.append(say('nothing_found'))
    limit, needed = found['memory_gib'], found['default_memory_mib']
    if limit and needed and needed > 1024 * limit:
        lines.append(say('default_too_large' if best else 'nothing_fits', mib=needed, gib=limit))
    published = found['published']
    if published and 'saving' in published:
        low, high = (1 - 1 / (1 - saving) for saving in reversed(published['interval']))
        lines.append(
            say('published', ms=published['ms_per_sample'], saving=of_published(found, 0.0), low=low, high=high)
        )
    if found['objective'] == 'train':
        saving = best['saving'] if best else 0.0
        verdict = 'promise_met' if saving >= PROMISE else 'promise_missed'
        lines.append(say('promise', verdict=say(verdict, saving=saving, loss=found['max_loss_db'])))
    return lines + quality_lines(found, best, say)


def whole(found: Found, say: Say) -> str:
    """Return what the stages' shares are shares of."""
    return say(f'whole_{found["objective"]}')


def quality_lines(found: Found, best: Trial | None, say: Say) -> list[str]:
    """Return what is known of the quality, and why where nothing is."""
    lines, quality = [], found['quality']
    if quality:
        reference = quality['variants'][0]
        gain = reference['gain_db']['mean']
        seeds = ', '.join(str(run['seed']) for run in reference['runs'])
        lines.append(say('quality_known', iterations=quality['iterations'], gain=gain, seeds=seeds))
    if found['no_quality']:
        failure = (found.get('failures') or {}).get(REFERENCE, '')
        lines.append(say('quality_unknown', why=say(found['no_quality'], failure=failure)))
    if best and best['kind'] != 'exact':
        difference = found['together_db']
        lines.append(say('together_db', db=interval_db(difference, say)) if difference else say('together_unknown'))
    return lines


def best_of(found: Found) -> Trial | None:
    """Return the last step that was kept."""
    return next((step for step in reversed(found['steps']) if step['kept']), None)


def of_published(found: Found, saving: float) -> float | None:
    """Return the share of the published path's time that is saved where ``saving`` of the default's is."""
    published = found['published'] or {}
    # That trial measured the published path against the default, as all others.
    return 1 - (1 - saving) / (1 - published['saving']) if 'saving' in published else None


def bottleneck_table(found: Found, say: Say) -> dict[str, Any]:
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
    heads = [say(key, of=whole(found, say)) for key in ('stage', 'share', 'interval', 'roofline_share', 'bound_by')]
    return {'headings': heads, 'rows': rows}


def remedy_table(found: Found, say: Say) -> dict[str, Any] | None:
    """Return the measured remedies, best first."""
    measured = sorted((trial for trial in found['trials'] if 'saving' in trial), key=lambda trial: -trial['saving'])
    rows = []
    for trial in measured:
        # Of that path the step alone was timed.
        published = None if reads_data(trial['overrides']) else of_published(found, trial['saving'])
        rows.append([
            trial['name'], say(trial['kind']), f'{trial["ms_per_sample"]:.1f} ({trial["default_ms_per_sample"]:.1f})',
            f'{trial["saving"]:+.1%}',
            '{:+.1%} / {:+.1%}'.format(*trial['interval']), f'{trial["predicted_saving"]:+.1%}',
            '' if published is None else f'{published:+.1%}',
            '' if trial['peak_memory_mib'] is None else f'{trial["peak_memory_mib"]:.0f}',
            decibels(trial, say), say(verdict_of(trial, found)),
        ])  # fmt: skip
    keys = ['remedy', 'kind', 'ms', 'saved', 'range', 'predicted', 'of_published', 'memory', 'db', 'verdict']
    if of_published(found, 0.0) is None:
        at = keys.index('of_published')
        keys, rows = without(keys, at), [without(row, at) for row in rows]
    return {'headings': [say(key) for key in keys], 'rows': rows} if rows else None


def without(items: list[str], at: int) -> list[str]:
    """Return a row without one of its columns."""
    return items[:at] + items[at + 1 :]


def verdict_of(trial: Trial, found: Found) -> str:
    """Return the word for what became of a measured remedy."""
    best = best_of(found)
    if best and trial['name'] in best['parts']:
        return 'taken'
    if lost_too_much_together(trial, found):
        return 'too_lossy_together'
    if not saves(trial):
        if trial['interval'][1] < 0:
            return 'slower'
        return 'unsure' if trial['saving'] >= LEAST_SAVING else 'nothing'
    needed, limit = trial['peak_memory_mib'], found['memory_gib']
    if limit and needed and needed > 1024 * limit:
        return 'too_large'
    if not acceptable(trial, found['max_loss_db']):
        return 'too_lossy' if is_known(trial.get('difference_db')) else 'unknown_db'
    return (
        'replaced' if any(trial['name'] == step['added'] and step['replaces'] for step in found['steps']) else 'saves'
    )


def lost_too_much_together(trial: Trial, found: Found) -> bool:
    """Whether a trial was trained with what was kept, and all together lost more than they may."""
    differences = [step.get('difference_db') for step in found['steps']
                   if step['added'] == trial['name'] and len(step['parts']) > 1]  # fmt: skip
    return any(is_known(each) and not affordable(each, found['max_loss_db']) for each in differences)


def decibels(trial: Trial, say: Say) -> str:
    """Return what a trial costs in dB."""
    if trial['kind'] == 'exact':
        return '0'
    found = trial.get('difference_db')
    return interval_db(found, say) if found else say('not_measured')


def interval_db(found: dict[str, Any], say: Say) -> str:
    """Return a difference with its interval, or that it tells nothing."""
    if not is_known(found):
        return say(found['verdict'])
    return f'{found["mean"]:+.2f} dB [{found["low"]:+.2f}, {found["high"]:+.2f}]'


def step_table(found: Found, say: Say) -> dict[str, Any]:
    """Return what each addition did."""
    rows = [
        [step['added'], say('yes' if step['kept'] else 'no'),
         f'{step["saving"]:+.1%}' if 'saving' in step else not_measured(step, say),
         f'{step["interaction"]:.2f}' if step['interaction'] else '',
         f'{step["peak_memory_mib"]:.0f}' if step.get('peak_memory_mib') else '',
         interval_db(step['difference_db'], say) if step.get('difference_db') else '']
        for step in found['steps']
    ]  # fmt: skip
    keys = ('added', 'kept', 'in_all', 'interaction', 'memory', 'db')
    return {'headings': [say(key) for key in keys], 'rows': rows}


def not_measured(step: Trial, say: Say) -> str:
    """Return why a step has no numbers."""
    if step.get('pruned'):
        return say('pruned', replaces=', '.join(step['replaces']))
    return say('failed', why=step.get('failure', ''))


def nothing(found: Found, say: Say) -> list[str]:
    """Return the remedies that were measured, not seen to save anything alone, and not taken with others either."""
    best = best_of(found)
    taken = best['parts'] if best else []
    return [say('nothing_row', name=t['name'], saving=t['saving'], low=t['interval'][0], high=t['interval'][1])
            for t in found['trials'] if 'saving' in t and not saves(t) and t['name'] not in taken]  # fmt: skip


def not_tried(found: Found, say: Say) -> list[str]:
    """Return what has no numbers, and why."""
    lines = []
    for trial in (trial for trial in found['trials'] if 'saving' not in trial):
        if 'failure' in trial:
            why = say('failed', why=trial['failure'])
        else:
            why = say(trial['skipped'], most=trial['most'], of=whole(found, say))
        lines.append(say('skip_row', name=trial['name'], why=why))
    return lines


def checklist(found: Found, say: Say) -> list[str]:
    """Return what was checked, each with its numbers, and what remains to be."""

    def answer(holds: bool) -> str:
        return say('yes' if holds else 'no')

    lines, best, default = [], best_of(found), found['default_memory_mib']
    if best:
        low, high = best['interval']
        lines.append(say('check_throughput', answer=answer(low > 0), low=low, high=high))
        mib = best['peak_memory_mib']
        lines += (
            [say('check_memory', answer=answer(mib < default), mib=mib, default=default)] if mib and default else []
        )
        lines.append(quality_check(found, best, say))
    return lines + next_steps(found, best, say)


def next_steps(found: Found, best: Trial | None, say: Say) -> list[str]:
    """Return what to run with the optimised config: its training, or where the network is the same, its test."""
    path, steps = found['output']['path'], []
    if found['objective'] == 'train' or (best and changes_network(best)):
        steps.append(say('check_default', path=path))
    if found['objective'] == 'infer':
        return [*steps, say('check_restore', path=path)]
    return [*steps, say('check_stages', profile=found['profile'].get('run', f'{found["folder"]}/profile/seed0'))]


def quality_check(found: Found, best: Trial, say: Say) -> str:
    """Return whether the quality is kept, as far as that is known."""
    difference, loss = found['together_db'], found['max_loss_db']
    if best['kind'] == 'exact':
        return say('check_quality', answer=say('yes'), db=say('exact'), loss=loss)
    if not is_known(difference):
        unknown = say(difference['verdict'] if difference else 'not_measured')
        return say('check_quality', answer='?', db=unknown, loss=loss)
    answer = 'yes' if difference['low'] >= -loss else 'on_the_mean' if affordable(difference, loss) else 'no'
    return say('check_quality', answer=say(answer), db=interval_db(difference, say), loss=loss)


def points(found: Found) -> list[dict[str, Any]]:
    """Return the default and every measured trial as points.

    Returns:
        ``name``, ``label`` (of a combination: what was added last), ``ms``, ``mib``, ``db`` (None: not known), and
        whether it is ``sure`` to be faster or slower.
    """
    best = best_of(found)
    combined = [step for step in found['steps'] if len(step['parts']) > 1]
    measured = [trial for trial in [*found['trials'], *combined] if 'saving' in trial]
    if not measured:
        return []
    default = measured[0]['default_ms_per_sample']
    made: list[dict[str, Any]] = [
        {'name': 'default', 'label': 'default', 'ms': default, 'mib': found['default_memory_mib'], 'db': 0.0,
         'sure': True}
    ]  # fmt: skip
    for trial in measured:
        difference = found['together_db'] if trial is best else trial.get('difference_db')
        made.append({
            # Relative to one default, since its absolute time swings from trial to trial.
            'name': trial['name'], 'label': f'+ {trial["added"]}' if trial in combined else trial['name'],
            'ms': default * (1 - trial['saving']), 'mib': trial['peak_memory_mib'],
            'db': 0.0 if trial['kind'] == 'exact' else difference['mean'] if is_known(difference) else None,
            'sure': saves(trial) or trial['interval'][1] < 0,
        })  # fmt: skip
    return made


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
