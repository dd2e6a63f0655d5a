"""The performance guide, docs/guide.md and docs/guide.zh-CN.md, from records: claims, measurements, verdicts.

``writers.guide_records`` says which records. What has none reads 'not measured'.
"""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import NOT_INFORMATIVE
from writers import guide_records
from writers.guide_verdicts import (
    NOTHING,
    UNDECIDED,
    UNMEASURED,
    VERDICTS,
    Finding,
    Measurements,
    judge,
    left_untrained,
    padding,
)
from writers.places import Place
from writers.wording import device_name, table

PAGES = {'en': 'docs/guide.md', 'zh': 'docs/guide.zh-CN.md'}
TEMPLATES = {'en': 'benchmarks/guide/guide.md', 'zh': 'benchmarks/guide/guide.zh-CN.md'}
COLUMNS = {'plans': f'll{"r" * 8}', 'shares': 'llrr', 'claims': 'llrrrl'}
Node = dict[str, Any]


def places(root: Path) -> list[Place]:
    guide, words = (
        yaml.safe_load((root / f'benchmarks/guide/{name}.yaml').read_text(encoding='utf-8'))
        for name in ('claims', 'words')
    )
    measured = guide_records.by_device(root, guide['networks'])
    commands = '\n'.join(f'$ {command}' for command in [*guide_records.commands(root), 'python benchmarks/pages.py'])
    found = []
    for language, page in PAGES.items():
        template = (root / TEMPLATES[language]).read_text(encoding='utf-8')
        found.append(Place(page, None, fill(template, guide, measured, words[language], language, commands)))
    return found


def fill(
    template: str,
    guide: Node,
    measured: dict[str, dict[str, Measurements]],
    words: Node,
    language: str,
    commands: str,
) -> str:
    """Return a page: the template with its places filled in, each of which it must have once."""
    findings = [(claim, findings_on(claim, measured)) for claim in guide['claims']]
    places = {
        'summary': '\n\n'.join([*summary(findings, words), *no_gpu(measured, words)]),
        'plans': '\n\n'.join(
            plan_section(guide, network, found, words, language)
            for network in guide['networks']
            if network in words['titles']
            for found in timed(measured, network).values()
        ),
        'shares': '\n\n'.join(
            headed(device, table([words['shares'], *share_rows(guide, found, words)], COLUMNS['shares']))
            for device, found in timed(measured, 'v0').items()
        ),
        'claims': table([words['claims'], *claim_rows(findings, words, language)], COLUMNS['claims']),
        'commands': commands,
    }
    for name, text in places.items():
        place = f'{{{{ {name} }}}}'
        if template.count(place) != 1:
            raise VrtSpikeError(f'the {language} template needs {place} once, to say where the text goes')
        template = template.replace(place, text)
    return template


def headed(device: str, text: str) -> str:
    return f'{device}:\n\n{text}' if device else text


def timed(measured: dict[str, dict[str, Measurements]], network: str) -> dict[str, Measurements]:
    """Return what was measured of a network by device, where its plans were timed; a device without a name has none."""
    found = {device: networks[network] for device, networks in measured.items() if networks[network].speed}
    return found or {'': next(iter(measured.values()))[network]}


def findings_on(claim: Node, measured: dict[str, dict[str, Measurements]]) -> dict[str, Finding]:
    """Return what was found of a claim by device; decibels alone are no matter of the device, named '' then."""
    found = {device: judge(claim, networks[claim['network']]) for device, networks in measured.items()}
    told = {device: finding for device, finding in found.items() if finding.verdict != UNMEASURED}
    return {device if finding.values or finding.steps else '': finding for device, finding in told.items()}


def summary(findings: list[tuple[Node, dict[str, Finding]]], words: Node) -> list[str]:
    """Return how many claims were measured with which verdict, device by device, and how many were not, and why."""
    counts: dict[str, Counter[str]] = {}
    for _, found in findings:
        for device, finding in found.items():
            if not waits_for_training(finding):
                counts.setdefault(device, Counter())[finding.verdict] += 1
    lines = [
        words['summary'].format(
            device=device or words['any device'],
            count=sum(verdicts.values()),
            verdicts=', '.join(f'{words["verdicts"][each]}: {verdicts[each]}' for each in VERDICTS if verdicts[each]),
        )
        for device, verdicts in counts.items()
    ]
    missing = {
        'unmeasured': sum(not found for _, found in findings),
        'untrained': sum(any(map(waits_for_training, found.values())) for _, found in findings),
    }
    return [*lines, *(words[why].format(count=count, all=len(findings)) for why, count in missing.items() if count)]


def waits_for_training(finding: Finding) -> bool:
    """Whether a claim about quality has to wait for a longer training of its baseline."""
    return finding.reference_gain_db is not None


def no_gpu(measured: dict[str, dict[str, Measurements]], words: Node) -> list[str]:
    """Return the sentence that no record is of a GPU, where none is."""
    records = [each.speed for networks in measured.values() for each in networks.values() if each.speed]
    return [] if any(record['device']['type'] == 'cuda' for record in records) else [words['no gpu']]


def plan_section(guide: Node, network: str, measured: Measurements, words: Node, language: str) -> str:
    """Return the guide's table for one network, expected beside measured."""
    names = [*guide['plans'], *(['eight_entries'] if 'eight_entries' in measured.plans else [])]
    rows = [plan_row(guide, name, measured, words, language) for name in names]
    plans = table([words['plans'], *rows], COLUMNS['plans'])
    return f'### {words["titles"][network]}\n\n{made_with(measured.speed, words)}\n\n{plans}'


def made_with(record: dict[str, Any] | None, words: Node) -> str:
    """Return on what a record was measured."""
    if record is None:
        return words['no record']
    side = record['shape'][-1]
    return words['made with'].format(
        shape=' x '.join(map(str, record['shape'])),
        rounds=len(record['rows'][0]['times_ms']),
        device=device_name(record['device']),
        torch=record['versions']['torch'],
        commit=(record['commit'] or '?')[:8],
        load=' - '.join(f'{load:.1f}' for load in record['rows'][0]['load_average']),
        padding=', '.join(f'{padding(side, window):.0%}' for window in (8, 7, 6)),
        padding_256=', '.join(f'{padding(256, window):.0%}' for window in (8, 7, 6)),
    )


def plan_row(guide: Node, name: str, measured: Measurements, words: Node, language: str) -> list[str]:
    """Return one plan, expected beside measured; of the baseline only what it costs."""
    plan, row, unmeasured = guide['plans'].get(name, {}), measured.row(name), words['verdicts']['not measured']
    identity = [plan.get(language) or words[name], f'`{measured.plans[name]}`']
    ms = f'{statistics.median(row["times_ms"]):,.0f} ms' if row else unmeasured
    peak = f'{row["peak_memory_mib"]:,.0f} MiB' if row and row['peak_memory_mib'] else unmeasured
    promised_ms = f'{between(plan["ms"])} ms' if plan else ''
    if name == 'baseline':
        return [*identity, promised_ms, '', ms, '', '', peak, '', '']
    saved = measured.memory_saving(name)
    return [
        *identity,
        f'{promised_ms} (-{percent(plan["saves"])})' if plan else '',
        share_text(row['expected_saving_share']) if row else unmeasured,
        ms,
        rounds_text(measured.savings(name)) or unmeasured,
        words[plan.get('memory', 'not stated')] if plan else '',
        peak if saved is None else f'{peak} ({-saved:+.0%})',
        db_text(plan['loses_db']) if plan else '',
        quality_cell(measured.differences.get(name), words),
    ]


def quality_cell(difference: Node | None, words: Node) -> str:
    """Return a difference in dB with its interval, or why there is none."""
    if not difference or not (difference['seeds'] or left_untrained(difference)):
        return words['verdicts']['not measured']
    if difference['verdict'] == NOT_INFORMATIVE:
        return words['not informative']
    return quality_text(difference['low'], difference['mean'], difference['high'])


def share_rows(guide: Node, measured: Measurements, words: Node) -> list[list[str]]:
    """Return the stages of the guide's network by their share of the forward pass, and what the guide said of them."""
    claimed = {
        claim['of'][0]: claim['expected']
        for claim in guide['claims']
        if claim['rule'] == 'share' and claim['network'] == 'v0'
    }
    ranked = measured.stages_by_share()
    names = [name for name in ranked if statistics.median(ranked[name]) >= 0.005 or name in claimed] or list(claimed)
    return [
        [
            name,
            f'{claimed[name]:.1%}' if name in claimed else '',
            rounds_text(ranked.get(name, ())) or words['verdicts']['not measured'],
            rounds_text(measured.shares([name], 'total_ms')) or words['verdicts']['not measured'],
        ]
        for name in names
    ]


def claim_rows(findings: list[tuple[Node, dict[str, Finding]]], words: Node, language: str) -> list[list[str]]:
    """Return every claim with its verdict, once for each device that has one."""
    rows = []
    for claim, found in findings:
        for device, finding in (found or {'': NOTHING}).items():
            verdict = words['verdicts'][finding.verdict]
            rows.append([
                claim[language],
                words['short'][claim['network']],
                expected(claim, words),
                finding_text(finding, words),
                verdict if finding.verdict in (UNDECIDED, UNMEASURED) else f'**{verdict}**',
                device,
            ])  # fmt: skip
    return rows


def expected(claim: Node, words: Node) -> str:
    """Return what was promised, in words."""
    value = claim.get('expected')
    if claim['rule'] in ('memory', 'room'):
        return words['lower' if claim['rule'] == 'memory' else 'no more']
    if not value or value == [0, 0]:
        return words['not stated'] if value else ''
    if claim['rule'] == 'loss':
        return db_text(value)
    return share_text(value) if isinstance(value, float) else percent(value)


def finding_text(finding: Finding, words: Node) -> str:
    """Return the measured values: shares with the rounds' range, dB with their interval, a gain, lost steps."""
    texts = [rounds_text(finding.values)]
    if finding.decibels:
        texts.append(quality_text(*finding.decibels))
    if finding.reference_gain_db is not None:
        texts.append(words['gained'].format(finding.reference_gain_db))
    if finding.steps:
        texts.append(words['lost'].format(*finding.steps))
    return ', '.join(filter(None, texts))


def rounds_text(values: tuple[float, ...]) -> str:
    """Return the median of shares with the smallest and the largest."""
    if not values:
        return ''
    middle = share_text(statistics.median(values))
    return middle if len(values) == 1 else f'{middle} [{share_text(min(values))}, {share_text(max(values))}]'


def share_text(value: float) -> str:
    return f'{value:.1%}'.replace('%', ' %').replace('-0.0', '0.0')


def quality_text(low: float, mean: float, high: float) -> str:
    return f'{mean:+.2f} dB [{low:+.2f}, {high:+.2f}]'


def db_text(value: list[float]) -> str:
    return f'{between(value)} dB' if value[0] else f'< {value[1]:g} dB'


def percent(value: list[float]) -> str:
    return f'{between([round(100 * each, 6) for each in value])} %'


def between(value: list[float]) -> str:
    """Return a range, or the number where both ends are the same.

    >>> between([1200, 1300]), between([0.5, 0.5])
    ('1,200–1,300', '0.5')
    """
    return '–'.join(dict.fromkeys(f'{each:,g}' for each in value))
