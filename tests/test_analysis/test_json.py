"""The JSON of reports, comparisons and checks is a contract: keys, their order and values are pinned.

After a deliberate change, write the files anew with ``REWRITE_GOLDEN=1 pytest tests/test_analysis/test_json.py``.
"""

import json
import os
from pathlib import Path

import msgspec
import pytest

from vrtspike.analysis import build_report, compare, read_logs, run_checks

GOLDEN = Path(__file__).parent / 'golden'

ADVICE = ('title', 'evidence', 'remedy', 'config')
"""Keys of a finding whose wording is not pinned; the tests of advice are about it."""


@pytest.fixture
def two_runs(make_run, made_up):
    """Logs of a baseline, and of a run with a faster stage 8, lower quality, 16-bit precision and an extra stage."""
    stages = made_up.STAGES | {'stage8': (80.0, 30.0, 180.0), 'tsa': (3.0, 0.0, 5.0)}
    first = make_run('baseline', samples=80)
    second = make_run('fast', samples=80, seed=1, stages=stages, run={'precision': 'bfloat16'})
    for folder, psnr in ((first, 28.0), (second, 27.5)):
        made_up.write(folder / '20260101/vis_data/scalars.json', made_up.scalars(psnr=psnr))
    return read_logs([first], 'baseline'), read_logs([second], 'fast')


def test_report(two_runs):
    check('report', build_report(two_runs[0]))


def test_report_of_two_ranks(make_run, made_up):
    folder = make_run('ranks', samples=40, run={'world_size': 2})
    stages = made_up.STAGES | {'communication': (60.0, 0.0, 0.0), 'stage8': (80.0, 30.0, 180.0)}
    lines = [made_up.run_line(rank=1, world_size=2), *made_up.sample_lines(40, rank=1, stages=stages)]
    made_up.write(folder / 'stage_costs_rank1.jsonl', lines)
    check('ranks', build_report(read_logs([folder], 'ranks')))


@pytest.mark.parametrize('name', ['legacy_timing.txt', 'legacy_print.log', 'legacy_train.log'])
def test_report_of_an_older_log(name, data):
    check(Path(name).stem, build_report(read_logs([data / name], name)))


def test_report_of_mmengine_scalars(made_up, tmp_path):
    check('mmengine', build_report(read_logs([made_up.write(tmp_path / 'scalars.json', made_up.scalars())], 'scalars')))


def test_comparison(two_runs):
    check('comparison', compare(*two_runs))


def test_checks(two_runs):
    check('checks', run_checks(*reversed(two_runs)))


def check(name: str, value: object) -> None:
    """Compare a value's JSON with the golden file ``name``."""
    value = json.loads(json.dumps(msgspec.to_builtins(value), allow_nan=False))
    if 'sources' in value:
        for source in value['sources']:
            source['path'] = Path(source['path']).name
        for finding in value['findings']:
            assert all(finding[key] for key in ADVICE)
            finding |= dict.fromkeys(ADVICE, '')
    path = GOLDEN / f'{name}.json'
    if os.environ.get('REWRITE_GOLDEN'):
        path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    expected = json.loads(path.read_text(encoding='utf-8'))
    assert list(paths(value)) == list(paths(expected))
    for (where, found), (_, known) in zip(leaves(value), leaves(expected), strict=True):
        assert found == (pytest.approx(known, rel=1e-9) if isinstance(known, float) else known), where


def paths(value: object) -> list[str]:
    return [where for where, _ in leaves(value)]


def leaves(value: object, where: str = ''):
    """Yield the place and value of everything that is neither a dict nor a list with something in it, in order."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f'{where}.{key}')
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from leaves(inner, f'{where}[{i}]')
    else:
        yield where, value
