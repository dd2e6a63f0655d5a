"""Records as templates get them."""

import json

import msgspec
import pytest
from rendering.context import FILTERS, context, shorten_report
from shipped_networks import made_up_card

from vrtspike.errors import VrtSpikeError


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
    with pytest.raises(VrtSpikeError, match=r'a\.json is not JSON'):
        names['records']('records')


def test_records_of_trained_networks_are_named_like_their_configs(names, tmp_path):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/vrt_spike_a.py').touch()
    with pytest.raises(VrtSpikeError, match=r'benchmarks/records has no config: expected configs/vrt_spike_b\.py'):
        names['trained']('records')
    (tmp_path / 'configs/vrt_spike_b.py').touch()
    assert list(names['trained']('records')) == ['configs/vrt_spike_a.py', 'configs/vrt_spike_b.py']
    (tmp_path / 'configs/vrt_spike_b.py').rename(tmp_path / 'configs/b.py')
    found = list(names['trained']('records'))
    assert found == ['configs/vrt_spike_a.py', 'configs/b.py']
    assert [FILTERS['network_name'](config) for config in found] == ['a', 'b']


def test_the_model_card_is_that_of_the_checkout(names, tmp_path):
    assert names['model_card']() is None
    path = tmp_path / 'vrtspike/models/pretrained/deblur.json'
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(made_up_card()))
    assert names['model_card']() == made_up_card()


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


@pytest.mark.parametrize(
    ('device', 'name'),
    [
        ({'name': 'A'}, 'A'),
        ({'name': 'A', 'threads': 1}, 'A, 1 thread'),
        ({'name': 'A', 'threads': 2}, 'A, 2 threads'),
    ],
)
def test_device(device, name):
    assert FILTERS['device'](device) == name


def test_measured_on():
    record = {'device': {'name': 'A'}, 'versions': {'torch': '2'}, 'commit': '0123456789'}
    assert FILTERS['measured_on'](record) == 'A, torch 2, commit 01234567'


@pytest.mark.parametrize(
    ('shares', 'text'),
    [((), ''), ((0.5,), '50.0 %'), ((0.1, 0.3, 0.2), '20.0 % [10.0 %, 30.0 %]')],
)
def test_rounds(shares, text):
    assert FILTERS['rounds'](shares) == text


@pytest.mark.parametrize(('values', 'text'), [([0, 0.3], '< 0.3 dB'), ([0.5, 1.0], '0.5–1 dB')])
def test_loss_range(values, text):
    assert FILTERS['loss_range'](values) == text


def test_percent_range_shows_no_rounding_errors():
    assert FILTERS['percent_range']([0.086, 0.086]) == '8.6 %'
    assert FILTERS['percent_range']([0.15, 0.29]) == '15–29 %'


def test_closest():
    items = [{'frames': 0}, {'frames': 5}, {'frames': 9}]
    assert FILTERS['closest'](items, 'frames', 6.5) == {'frames': 5}


def test_percent_and_ranges():
    assert [FILTERS['percent'](share) for share in (0.3004, -0.0001)] == ['30.0 %', '0.0 %']
    assert [FILTERS['number_range'](ends) for ends in ([1200, 1300], [0.5, 0.5])] == ['1,200–1,300', '0.5']
