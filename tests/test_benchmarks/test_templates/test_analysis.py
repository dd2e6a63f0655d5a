"""docs/analysis.md from the record of a training's report, and of a large log."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).resolve().parents[3]
RECORDS = ROOT / 'benchmarks/records/analysis'
LOG = ROOT / 'tests/test_analysis/data/legacy_timing.txt'


@pytest.fixture
def folder(tmp_path):
    """The records of a checkout, without that of the report."""
    folder = tmp_path / 'benchmarks/records/analysis'
    folder.mkdir(parents=True)
    shutil.copy(RECORDS / 'million_samples.json', folder)
    return folder


def test_an_excerpt_of_the_report(folder, tmp_path, render):
    (folder / 'tiny.json').write_bytes(msgspec.json.encode(build_report(read_logs([str(LOG)]))))
    text = render('docs/analysis.md', tmp_path)
    excerpt = text.split('```text\n')[1].split('\n```\n')[0]
    assert excerpt.startswith('Summary\n')
    for kept in ('1. stage8', '8. other', 'These times cannot rank stages', '2. stage8'):
        assert kept in excerpt
    for left_out in ('Time by stage', 'Limits of these numbers'):
        assert left_out not in excerpt


def test_another_record_gives_another_excerpt(folder, tmp_path, render):
    found = json.loads((RECORDS / 'tiny.json').read_text(encoding='utf-8'))
    found['memory']['peak_mib'] = 4321.0
    (folder / 'tiny.json').write_text(json.dumps(found))
    assert 'peak memory  4,321 MiB\n' in render('docs/analysis.md', tmp_path)


def test_without_a_record_there_is_no_page(tmp_path, folder, render):
    with pytest.raises(VrtSpikeError, match=r'tiny\.json: no such record'):
        render('docs/analysis.md', tmp_path)
