"""The READMEs' report of a training, from its record."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from writers.report import excerpt

from vrtspike.analysis import build_report, read_logs
from vrtspike.errors import VrtSpikeError
from vrtspike.reporting.plots import save_picture

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / 'benchmarks/records/analysis/tiny.json'
LOG = ROOT / 'tests/test_analysis/data/legacy_timing.txt'
READMES = ('README.md', 'README_zh-CN.md')


@pytest.fixture
def checkout(tmp_path):
    """A checkout's READMEs, and no record."""
    for name in READMES:
        (tmp_path / name).write_text(
            'before\n<!-- report:begin -->\nold\n<!-- report:end -->\nafter\n', encoding='utf-8'
        )
    (tmp_path / 'benchmarks/records/analysis').mkdir(parents=True)
    return tmp_path


def test_both_readmes_get_the_same_excerpt(checkout, update):
    record = checkout / 'benchmarks/records/analysis/tiny.json'
    record.write_text(json.dumps(build_report(read_logs([str(LOG)]))))
    assert len(update('report', checkout)) == 2
    texts = {(checkout / name).read_text(encoding='utf-8') for name in READMES}
    assert len(texts) == 1
    text = texts.pop()
    assert text.startswith('before\n<!-- report:begin -->\n```text\nSummary\n')
    assert text.endswith('```\n<!-- report:end -->\nafter\n')
    for kept in ('1. stage8', '8. other', 'These times rank nothing yet', '2. stage8'):
        assert kept in text
    for left_out in ('Time by stage', 'What these numbers', 'old'):
        assert left_out not in text


def test_another_record_gives_another_excerpt(checkout, update):
    found = json.loads(RECORD.read_text(encoding='utf-8'))
    found['memory']['peak_mib'] = 4321.0
    (checkout / 'benchmarks/records/analysis/tiny.json').write_text(json.dumps(found))
    update('report', checkout)
    assert 'peak memory  4,321 MiB\n' in (checkout / 'README.md').read_text(encoding='utf-8')


def test_without_a_record_nothing_is_written(checkout, update):
    with pytest.raises(VrtSpikeError, match=r'tiny\.json: no such record'):
        update('report', checkout)
    assert 'old' in (checkout / 'README.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('findings', [0, 1, 2, 3])
@pytest.mark.parametrize('stages', [1, 8, 9])
def test_as_many_stages_and_findings_as_there_are_but_not_more_than_fit(stages, findings):
    ranked = ''.join(f'{i:4}. stage\n' for i in range(1, stages + 1))
    numbered = ''.join(f'{i}. finding\n   more\n' for i in range(1, findings + 1))
    text = f'Summary\n\n{ranked}\n{"Findings" if findings else "Nothing stands out."}\n{numbered}'
    kept = excerpt(text).splitlines()
    assert sum(line.endswith('stage') for line in kept) == min(stages, 8)
    assert ('  ...' in kept) == (stages > 8)
    assert kept.count('   more') == min(findings, 2)
    assert (kept[-1] == '   more') == bool(findings)


def test_the_picture_is_of_the_record(tmp_path):
    save_picture(json.loads(RECORD.read_text(encoding='utf-8')), tmp_path / 'report.png')
    drawn, shipped = (
        np.asarray(Image.open(path).convert('RGB'), dtype=float)
        for path in (tmp_path / 'report.png', ROOT / 'docs/images/report.png')
    )
    assert drawn.shape == shipped.shape
    assert np.abs(drawn - shipped).mean() < 2
