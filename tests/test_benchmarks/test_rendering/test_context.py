"""Records as templates get them."""

import json

import pytest
from rendering.context import context, paired_difference, shorten_report

from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import Interval


@pytest.fixture
def names(tmp_path):
    folder = tmp_path / 'benchmarks/records'
    folder.mkdir(parents=True)
    for name in ('b', 'a'):
        (folder / f'{name}.json').write_text(json.dumps({'name': name}))
    return context(tmp_path)


def test_a_record_and_all_records_of_a_folder(names):
    assert names['record']('records/a') == {'name': 'a'}
    assert list(names['records']('records')) == ['a', 'b']
    assert names['records']('nowhere') == {}


def test_an_absent_record_is_an_error(names):
    with pytest.raises(VrtSpikeError, match=r'benchmarks/records/c\.json: no such record'):
        names['record']('records/c')


def test_a_damaged_record_is_an_error(names, tmp_path):
    (tmp_path / 'benchmarks/records/a.json').write_text('{')
    with pytest.raises(VrtSpikeError, match=r'a\.json is no JSON'):
        names['records']('records')


def test_records_of_trained_networks_are_named_like_their_configs(names, tmp_path):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/vrt_spike_a.py').touch()
    with pytest.raises(VrtSpikeError, match=r'records/b\.json has no config: expected configs/vrt_spike_b\.py'):
        names['trained']('records')
    (tmp_path / 'configs/vrt_spike_b.py').touch()
    assert list(names['trained']('records')) == ['configs/vrt_spike_a.py', 'configs/vrt_spike_b.py']


def test_runs_are_compared_seed_by_seed():
    plain, changed = ([{'psnr_db': value} for value in values] for values in ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]))
    assert paired_difference(plain, changed) == Interval(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match='shorter'):
        paired_difference(plain, changed[:2])


@pytest.mark.parametrize('findings', [0, 1, 2, 3])
@pytest.mark.parametrize('stages', [1, 8, 9])
def test_an_excerpt_has_as_many_stages_and_findings_as_there_are_but_not_more_than_fit(stages, findings):
    ranked = ''.join(f'{i:4}. stage\n' for i in range(1, stages + 1))
    numbered = ''.join(f'{i}. finding\n   more\n' for i in range(1, findings + 1))
    text = f'Summary\n\n{ranked}\n{"Findings" if findings else "Nothing stands out."}\n{numbered}'
    kept = shorten_report(text).splitlines()
    assert sum(line.endswith('stage') for line in kept) == min(stages, 8)
    assert ('  ...' in kept) == (stages > 8)
    assert kept.count('   more') == min(findings, 2)
    assert (kept[-1] == '   more') == bool(findings)
