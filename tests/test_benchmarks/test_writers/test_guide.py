"""The performance guide: verdicts follow from records, and the pages show both."""

import copy
import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from writers import guide_verdicts as verdicts

from vrtspike.config import load_config
from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).resolve().parents[3]
CLAIMS = yaml.safe_load((ROOT / 'benchmarks/guide/claims.yaml').read_text(encoding='utf-8'))
SCHEMAS = {
    'rows': json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8')),
    'variants': json.loads((ROOT / 'benchmarks/ablation.schema.json').read_text(encoding='utf-8')),
}
RECORDS = sorted((ROOT / 'benchmarks/records/guide').glob('*.json'))
EIGHT = CLAIMS['networks']['eight']


def row(config, times, stages=None, peak=100.0, attention=None):
    """A row of a record: ``stages`` by name as (forward, total) times of one round, the same in all."""
    divided = {
        name: {'forward_ms': [forward] * len(times), 'total_ms': [total] * len(times)}
        for name, (forward, total) in (stages or {}).items()
    }
    parts = {'attention': {'forward_ms': [attention] * len(times), 'total_ms': [attention] * len(times)}}
    return {
        'config': config, 'gmacs': 1.0, 'expected_saving_share': 0.1, 'step_ms': {'median': times[0], 'iqr_share': 0.0},
        'times_ms': times, 'saving_share': 0.0, 'peak_memory_mib': peak, 'load_average': [1.0, 2.0],
        'stages': divided, 'parts': parts if attention else {},
    }  # fmt: skip


def record(*rows):
    return {
        'kind': 'configs', 'versions': {'vrtspike': '0', 'python': '3', 'torch': '2.13.0'}, 'commit': '0' * 40,
        'device': {'type': 'cpu', 'name': 'A Processor', 'threads': 2}, 'shape': [1, 5, 24, 24], 'rows': list(rows),
    }  # fmt: skip


def saved(plan_times, **claim):
    measured = verdicts.Measurements(
        EIGHT, record(row(EIGHT['baseline'], [100.0] * len(plan_times)), row(EIGHT['amp'], plan_times))
    )
    return verdicts.judge({'rule': 'saving', 'plan': 'amp', 'expected': [0.3, 0.4], **claim}, measured)


@pytest.mark.parametrize(
    ('times', 'verdict'),
    [
        ([65.0, 75.0, 60.0], 'holds'),  # the median round saves 35 %
        ([70.0, 70.0, 70.0], 'holds'),
        ([71.0, 71.0, 60.0], 'holds in part'),
        ([99.0, 90.0, 95.0], 'holds in part'),
        ([101.0, 85.0, 85.0], 'does not hold'),  # a round that saves nothing
        ([65.0, 90.0, 50.0], 'not measured'),  # too far apart
        ([120.0, 110.0, 130.0], 'does not hold'),
    ],
)
def test_a_saving_holds_from_the_lower_end_of_what_was_promised(times, verdict):
    finding = saved(times)
    assert finding.verdict == verdict
    assert finding.values == pytest.approx([1 - time / 100 for time in times])


def test_a_saving_is_of_some_stages_or_parts_where_the_claim_says_so():
    rows = [
        row(EIGHT['baseline'], [100.0], {'stage8': (10.0, 40.0), 'stage1': (10.0, 60.0)}, attention=20.0),
        row(EIGHT['amp'], [90.0], {'stage8': (10.0, 30.0), 'stage1': (10.0, 60.0)}, attention=5.0),
    ]
    measured = verdicts.Measurements(EIGHT, record(*rows))
    of = {part: measured.savings('amp', of=[part]) for part in ('stage8', '/attention')}
    assert of == {'stage8': (0.25,), '/attention': (0.75,)}
    assert measured.savings('amp', of=['stage8', 'stage1']) == pytest.approx((0.1,))
    assert measured.savings('amp', of=['fuse1']) == ()  # the baseline spends nothing there


def test_a_change_without_effect_on_clips_so_small_is_not_measured():
    assert saved([50.0], larger_than=64).verdict == 'not measured'
    assert saved([50.0], larger_than=23).verdict == 'holds'
    assert saved([50.0], window=7).verdict == 'not measured'  # 24 is padded to 28
    assert saved([50.0], window=6).verdict == 'holds'


@pytest.mark.parametrize(
    ('claimed', 'verdict'),
    [
        (0.32, 'holds'),
        (0.39, 'holds'),
        (0.41, 'holds in part'),
        (0.17, 'holds in part'),
        (0.61, 'does not hold'),
        (0.1, 'does not hold'),
    ],
)
def test_a_share_holds_within_a_quarter(claimed, verdict):
    stages = {'stage8': (30.0, 10.0), 'stage2': (70.0, 90.0)}
    measured = verdicts.Measurements(EIGHT, record(row(EIGHT['baseline'], [100.0], stages)))
    finding = verdicts.judge({'rule': 'share', 'of': ['stage8'], 'expected': claimed}, measured)
    assert finding == verdicts.Finding(verdict, (0.3,))  # of the forward pass


@pytest.mark.parametrize(
    ('of', 'verdict'),
    [(['a', 'b'], 'holds'), (['b', 'a'], 'holds'), (['a', 'c'], 'holds in part'), (['c', 'd'], 'does not hold')],
)
def test_the_largest_stages(of, verdict):
    stages = {'d': (1.0, 1.0), 'c': (2.0, 2.0), 'b': (3.0, 3.0), 'a': (4.0, 4.0)}
    measured = verdicts.Measurements(EIGHT, record(row(EIGHT['baseline'], [10.0], stages)))
    assert verdicts.judge({'rule': 'largest', 'of': of}, measured).verdict == verdict


@pytest.mark.parametrize(('claimed', 'verdict'), [(0.4, 'holds'), (0.5, 'holds in part'), (0.81, 'does not hold')])
def test_what_stages_can_save_is_bounded_by_their_share_of_the_whole_step(claimed, verdict):
    stages = {'stage8': (90.0, 40.0), 'stage1': (10.0, 60.0)}
    measured = verdicts.Measurements(EIGHT, record(row(EIGHT['baseline'], [100.0], stages)))
    assert verdicts.judge({'rule': 'potential', 'of': ['stage8'], 'expected': claimed}, measured).verdict == verdict


@pytest.mark.parametrize(
    ('peak', 'verdict'),
    [(90.0, 'holds'), (99.5, 'does not hold'), (110.0, 'does not hold'), (None, 'not measured')],
)
def test_memory_is_lower_from_a_hundredth_on(peak, verdict):
    rows = [row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0], peak=peak)]
    measured = verdicts.Measurements(EIGHT, record(*rows))
    assert verdicts.judge({'rule': 'memory', 'plan': 'amp'}, measured).verdict == verdict


def quality(mean, low, high, verdict='worse'):
    difference = {'mean': mean, 'low': low, 'high': high, 'seeds': [0, 1, 2], 'verdict': verdict, 'why': ''}
    variants = [{'name': 'reference', 'difference_db': None}, {'name': 'amp', 'difference_db': difference}]
    device = {'type': 'cpu', 'name': 'A Processor', 'threads': 2}
    return {'config': EIGHT['baseline'], 'device': device, 'variants': variants}


@pytest.mark.parametrize(
    ('difference', 'verdict'),
    [
        ((-0.05, -0.1, 0.0), 'holds'),
        ((-0.05, -0.2, 0.1), 'holds in part'),
        ((-0.2, -0.3, -0.1), 'does not hold'),
        ((-0.05, -0.1, 0.0, 'not informative'), 'not measured'),
    ],
)
def test_a_loss_is_within_its_bound_with_its_interval(difference, verdict):
    measured = verdicts.Measurements(EIGHT, quality=quality(*difference))
    assert verdicts.judge({'rule': 'loss', 'plan': 'amp', 'expected': [0, 0.1]}, measured).verdict == verdict


@pytest.mark.parametrize('claim', CLAIMS['claims'], ids=lambda claim: claim['en'])
def test_without_a_record_nothing_is_measured(claim):
    assert {'en', 'zh', 'network', 'rule'} <= set(claim)
    assert verdicts.judge(claim, verdicts.Measurements(CLAIMS['networks'][claim['network']])) == verdicts.NOTHING


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what the pages are made of, and no records."""
    shutil.copytree(ROOT / 'benchmarks/guide', tmp_path / 'benchmarks/guide')
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'benchmarks/records/guide').mkdir(parents=True)
    return tmp_path


def test_without_records_every_verdict_is_open(checkout, update):
    update('guide', checkout)
    for page, words in (('guide.md', ('holds', 'not measured')), ('guide.zh-CN.md', ('成立', '未测量'))):
        text = (checkout / 'docs' / page).read_text(encoding='utf-8')
        assert '{{' not in text
        assert f'| **{words[0]}** |' not in text
        assert text.count(f'| {words[1]} |\n') >= len(CLAIMS['claims'])


def test_a_record_decides(checkout, update):
    rows = [row(EIGHT['baseline'], [200.0, 210.0]), row(EIGHT['amp'], [100.0, 105.0], peak=80.0)]
    path = checkout / 'benchmarks/records/guide/cpu_eight.json'
    path.write_text(json.dumps(record(*rows)))
    (checkout / 'benchmarks/records/guide/quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01)))
    assert len(update('guide', checkout)) == 2
    assert update('guide', checkout) == []
    text = (checkout / 'docs/guide.md').read_text(encoding='utf-8')
    assert '| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] | **holds** |' in text
    assert '| AMP lowers the memory | eight entries | lower | 20.0 % | **holds** |' in text
    assert '| 102 ms | 50.0 % [50.0 %, 50.0 %] |' in text  # the median of both rounds
    assert '80 MiB (-20%) | < 0.1 dB | -0.01 dB [-0.03, +0.01] |' in text
    assert 'A Processor, 2 threads: of' in text
    assert '--shape 1 5 24 24 --rounds 2 --json benchmarks/records/guide/cpu_eight.json' in text
    path.write_text(json.dumps(record(*rows[:1], row(EIGHT['amp'], [300.0, 300.0]))))
    update('guide', checkout)
    assert '**does not hold** |' in (checkout / 'docs/guide.md').read_text(encoding='utf-8')


def test_records_that_nothing_can_be_made_of_are_named(checkout, update):
    path = checkout / 'benchmarks/records/guide/other.json'
    path.write_text(json.dumps(record(row('configs/other.py', [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'other\.json: its first config is configs/other\.py'):
        update('guide', checkout)
    for name in ('other.json', 'second.json'):
        path.with_name(name).write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'second\.json: the second record'):
        update('guide', checkout)


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_follow_their_schema(path):
    found = json.loads(path.read_text(encoding='utf-8'))
    jsonschema.validate(found, next(schema for key, schema in SCHEMAS.items() if key in found))


@pytest.mark.parametrize('path', sorted({path for plans in CLAIMS['networks'].values() for path in plans.values()}))
def test_every_plan_is_a_valid_config(path):
    assert load_config(ROOT / path).model.type == 'SpikeRestorer'


def test_single_changes_change_one_thing():
    baseline = flat(load_config(ROOT / EIGHT['baseline']).to_dict())
    changes = {'window_6': 1, 'stage8_depth_4': 1, 'stage2_depth_6': 1, 'larger_chunks': 2, 'no_stage1_fusion': 1,
               'plain_attention': 1}  # fmt: skip
    for name, count in changes.items():
        changed = flat(load_config(ROOT / EIGHT[name]).to_dict())
        assert len([key for key in baseline | changed if baseline.get(key) != changed.get(key)]) == count, name


def flat(node, prefix=''):
    if not isinstance(node, dict):
        return {prefix: copy.deepcopy(node)}
    return {key: value for name, child in node.items() for key, value in flat(child, f'{prefix}.{name}').items()}
