"""The performance guide: verdicts follow from records, and the pages show both."""

import copy
import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from writers import guide_verdicts as verdicts

from vrtspike.ablation.statistics import compare
from vrtspike.ablation.variants import read_variants
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
        ([65.0, 90.0, 50.0], 'undecided'),  # too far apart
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
    assert saved([50.0], window=7).verdict == 'undecided'  # 24 is padded to 28
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


@pytest.mark.parametrize(
    ('peak', 'room', 'memory'),
    [
        (90.0, 'holds', 'holds'),
        (100.9, 'holds', 'holds'),
        (101.0, 'does not hold', 'holds'),
        (198.5, 'does not hold', 'does not hold'),
    ],
)
def test_batches_are_compared_with_one_clip_or_with_two(peak, room, memory):
    measured = verdicts.Measurements(EIGHT, peaks={'baseline': 100.0, 'two_clips': 200.0, 'batch': peak})
    finding = verdicts.judge({'rule': 'room', 'plan': 'batch'}, measured)
    assert (finding.verdict, finding.values) == (room, (1 - peak / 100,))
    finding = verdicts.judge({'rule': 'memory', 'plan': 'batch', 'reference': 'two_clips'}, measured)
    assert (finding.verdict, finding.values) == (memory, (1 - peak / 200,))


def decibels(mean, low, high, verdict='worse'):
    return {'mean': mean, 'low': low, 'high': high, 'seeds': [0, 1, 2], 'verdict': verdict, 'why': ''}


@pytest.mark.parametrize(
    ('savings', 'difference', 'verdict'),
    [
        ((0.3, 0.2, 0.1), (0.0, -0.1, 0.1), 'holds'),
        ((0.3, 0.2, -0.1), (0.2, -0.1, 0.5), 'holds'),
        ((0.3, 0.2, 0.1), (-0.1, -0.3, 0.1), 'holds in part'),
        ((0.3, -0.2, -0.1), (0.2, 0.1, 0.3), 'does not hold'),
        ((0.3, 0.2, 0.1), (0.2, 0.1, 0.3, 'not informative'), 'undecided'),
    ],
)
def test_a_training_is_shorter_only_at_the_same_quality(savings, difference, verdict):
    measured = verdicts.Measurements({}, savings_of={'recipe': savings}, differences={'recipe': decibels(*difference)})
    finding = verdicts.judge({'rule': 'shortening', 'plan': 'recipe'}, measured)
    mean, low, high = difference[:3]
    assert finding == verdicts.Finding(verdict, savings, (low, mean, high))


@pytest.mark.parametrize(
    ('lost', 'verdict'),
    [
        ({65536.0: 3, 1024.0: 0}, 'holds'),
        ({1024.0: 3, 65536.0: 4, 2048.0: 9}, 'holds'),
        ({65536.0: 3, 1024.0: 3}, 'does not hold'),
        ({65536.0: 0, 1024.0: 1}, 'does not hold'),
        ({65536.0: 0, 1024.0: 0}, 'undecided'),
        ({65536.0: 3}, 'not measured'),
    ],
)
def test_a_lower_loss_scale_has_to_lose_fewer_steps(lost, verdict):
    measured = verdicts.Measurements({}, lost_steps=lost, iterations=60)
    finding = verdicts.judge({'rule': 'steadied'}, measured)
    assert finding.verdict == verdict
    if len(lost) > 1:
        assert finding.steps == (lost[65536.0], lost[1024.0], 60)


def quality(mean, low, high, verdict='worse'):
    difference = decibels(mean, low, high, verdict)
    runs = [{'gain_db': 2.5}] * 3
    variants = [
        {'name': 'reference', 'difference_db': None, 'runs': runs, 'failure': None},
        {'name': 'amp', 'difference_db': difference, 'runs': runs, 'failure': None},
    ]
    device = {'type': 'cpu', 'name': 'A Processor', 'threads': 2}
    return {'config': EIGHT['baseline'], 'device': device, 'common': {}, 'seeds': [0, 1, 2], 'variants': variants}


@pytest.mark.parametrize(
    ('difference', 'verdict'),
    [
        ((-0.05, -0.1, 0.0), 'holds'),
        ((-0.05, -0.2, 0.1), 'holds in part'),
        ((-0.2, -0.3, -0.1), 'does not hold'),
        ((-0.05, -0.1, 0.0, 'not informative'), 'undecided'),
        ((-0.05, None, None, 'not informative'), 'not measured'),  # a single seed
    ],
)
def test_a_loss_is_within_its_bound_with_its_interval(difference, verdict):
    measured = verdicts.Measurements(EIGHT, differences={'amp': decibels(*difference)})
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
    for folder in ('guide', 'training', 'optimize'):
        (tmp_path / 'benchmarks/records' / folder).mkdir(parents=True)
    return tmp_path


def test_without_records_every_verdict_is_open(checkout, update):
    update('guide', checkout)
    for page, words in (('guide.md', ('holds', 'not measured')), ('guide.zh-CN.md', ('成立', '未测量'))):
        text = (checkout / 'docs' / page).read_text(encoding='utf-8')
        assert '{{' not in text
        assert f'| **{words[0]}** |' not in text
        assert text.count(f'| {words[1]} |  |\n') == len(CLAIMS['claims'])


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
    assert 'A Processor: 2 measured (holds: 2).' in text
    assert f'Of {len(CLAIMS["claims"])} claims {len(CLAIMS["claims"]) - 2} are not measured.' in text
    assert '--shape 1 5 24 24 --rounds 2 --json benchmarks/records/guide/cpu_eight.json' in text
    path.write_text(json.dumps(record(*rows[:1], row(EIGHT['amp'], [300.0, 300.0]))))
    update('guide', checkout)
    assert '**does not hold** |' in (checkout / 'docs/guide.md').read_text(encoding='utf-8')


def test_a_quality_that_cannot_count_reads_so(checkout, update):
    folder = checkout / 'benchmarks/records/guide'
    (folder / 'cpu_eight.json').write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0]))))
    (folder / 'quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01, 'not informative')))
    update('guide', checkout)
    assert '| < 0.1 dB | not informative |' in (checkout / 'docs/guide.md').read_text(encoding='utf-8')


def test_a_reference_without_gain_decides_nothing(checkout, update):
    folder = checkout / 'benchmarks/records/guide'
    (folder / 'cpu_eight.json').write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0]))))
    untrained = compare({}, {0: 25.0}, {0: 0.04})
    names = ('amp', 'window_6')
    made = quality(0, 0, 0) | {
        'common': {'train_cfg.max_iters': 9, 'a.b': 1},
        'variants': [
            {'name': 'reference', 'difference_db': None, 'runs': [{'gain_db': 0.04}], 'failure': None},
            *({'name': name, 'difference_db': untrained, 'runs': [], 'failure': None} for name in names),
        ],
    }
    (folder / 'quality_eight.json').write_text(json.dumps(made))
    update('guide', checkout)
    text = (checkout / 'docs/guide.md').read_text(encoding='utf-8')
    assert '| < 0.1 dB | not informative |' in text
    assert '| eight entries | < 0.5 dB | the baseline gained +0.04 dB | undecided |  |' in text
    assert 'Quality, on any device: 1 measured (undecided: 1).' in text
    assert (
        '$ python tools/ablate.py configs/vrt_spike_baseline.py --variants benchmarks/guide/quality_eight.yaml '
        '--seeds 0 1 2 --iterations 9 --stop-without-gain --json benchmarks/records/guide/quality_eight.json '
        '--cfg-options a.b=1  # A Processor, 2 threads' in text
    )


def test_what_failed_is_not_measured():
    failed = compare({}, {0: 28.0}, {0: 2.5}) | {'reference_gain_db': 2.5}
    measured = verdicts.Measurements(EIGHT, differences={'amp': failed})
    assert verdicts.judge({'rule': 'loss', 'plan': 'amp', 'expected': [0, 0.1]}, measured) == verdicts.NOTHING


def test_records_that_nothing_can_be_made_of_are_named(checkout, update):
    path = checkout / 'benchmarks/records/guide/other.json'
    path.write_text(json.dumps(record(row('configs/other.py', [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'other\.json: its first config is configs/other\.py'):
        update('guide', checkout)
    for name in ('other.json', 'second.json'):
        path.with_name(name).write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'second\.json: the second record'):
        update('guide', checkout)


def test_threads_make_no_other_device(checkout, update):
    made = record(row(EIGHT['baseline'], [100.0, 100.0]), row(EIGHT['amp'], [50.0, 50.0]))
    (checkout / 'benchmarks/records/guide/cpu_eight.json').write_text(json.dumps(made))
    made = search(compile=([100.0], [110.0]))
    made['device'] = made['device'] | {'threads': 1}
    (checkout / 'benchmarks/records/optimize/tiny.json').write_text(json.dumps(made))
    update('guide', checkout)
    text = (checkout / 'docs/guide.md').read_text(encoding='utf-8')
    assert (
        '| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] | **holds** | A Processor |'
        in text
    )
    assert '| torch.compile helps | tiny | not stated | -10.0 % | **does not hold** | A Processor |' in text
    assert '# A Processor, 2 threads' in text
    assert '# A Processor, 1 thread' in text


def test_two_devices_have_a_section_each_and_share_the_quality(checkout, update):
    folder = checkout / 'benchmarks/records/guide'
    for name, times in (('A Processor', [50.0, 50.0]), ('A Card', [100.0, 100.0])):
        made = record(row(EIGHT['baseline'], [100.0, 100.0]), row(EIGHT['amp'], times))
        made['device']['name'] = name
        (folder / f'{name}.json').write_text(json.dumps(made))
    (folder / 'quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01)))
    update('guide', checkout)
    text = (checkout / 'docs/guide.md').read_text(encoding='utf-8')
    assert text.count('| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] |') == 1
    assert text.count('| AMP saves computing time | eight entries | 30–40 % | 0.0 % [0.0 %, 0.0 %] |') == 1
    assert text.count('-0.01 dB [-0.03, +0.01] |') == 2


HERE = {'device': record()['device'], 'versions': record()['versions'], 'commit': '0' * 40}


def paired(name, plain, changed, gain=3.0):
    """The record of a recipe; a run is its PSNR and its seconds."""

    def runs(values):
        return [
            {'seed': i, 'psnr_db': psnr, 'gain_db': gain, 'run_s': seconds} for i, (psnr, seconds) in enumerate(values)
        ]

    config, plain_name = {
        'progressive': ('configs/vrt_spike_lite.py', 'throughout'),
        'distillation': ('configs/vrt_spike_tiny.py', 'alone'),
    }[name]
    teacher = 'teacher.pth' if name == 'distillation' else None
    settings = {'config': config, 'depths': [1, 2], 'teacher': teacher, 'iterations': 7, 'seeds': [0, 1, 2]}
    changed_name = {'progressive': 'progressive', 'distillation': 'taught'}[name]
    return {
        'recipe': name, 'settings': settings, 'runs': {plain_name: runs(plain), changed_name: runs(changed)}, **HERE
    }  # fmt: skip


def test_a_training_has_one_record_whatever_the_device(checkout, update):
    made = paired('distillation', [(28.0, 1.0)] * 3, [(28.1, 1.0)] * 3)
    (checkout / 'benchmarks/records/guide/on_a_card.json').write_text(json.dumps(made | other_device('A Card')))
    (checkout / 'benchmarks/records/training/distillation.json').write_text(json.dumps(made))
    with pytest.raises(VrtSpikeError, match=r'distillation\.json: the second record of its kind of tiny on any device'):
        update('guide', checkout)


def other_device(name):
    return {'device': HERE['device'] | {'name': name}}


def search(**trials):
    """The record of a search; a trial has times of the default and of the change."""
    found = [{'name': name, 'times_ms': {'default': a, 'changed': b}} for name, (a, b) in trials.items()]
    return {
        'config_path': 'configs/vrt_spike_tiny.py', 'trials': [*found, {'name': 'flash', 'skipped': 'no_flash'}],
        'command': ['python', 'tools/optimize.py', 'X'], 'folder': 'work_dirs/x', **HERE,
    }  # fmt: skip


def overflow(lost):
    runs = {'bfloat16': 0} | {f'float16, init_scale {scale}': count for scale, count in lost.items()}
    return {
        'config': 'configs/vrt_spike_tiny.py', 'overrides': {'a.b': 1}, 'iterations': 60,
        'runs': {name: {'lost_steps': count} for name, count in runs.items()}, **HERE,
    }  # fmt: skip


def memory_record(**peaks):
    rows = [{'name': name, 'config': EIGHT['baseline'], 'peak_memory_mib': peak} for name, peak in peaks.items()]
    return {'kind': 'memory', 'shape': [5, 48, 48], 'rows': rows, **HERE}


@pytest.mark.parametrize(
    ('path', 'made', 'said', 'command'),
    [
        (
            'optimize/tiny.json',
            search(compile=([100.0, 200.0], [110.0, 210.0])),
            '| torch.compile helps | tiny | not stated | -7.5 % [-10.0 %, -5.0 %] | **does not hold** |',
            'tools/optimize.py X && cp work_dirs/x/report.json benchmarks/records/optimize/tiny.json',
        ),
        (
            'optimize/tiny.json',
            search(half_depth=([100.0, 100.0], [50.0, 50.0])),
            '| A student of half the depth is faster | tiny | not stated | 50.0 % [50.0 %, 50.0 %] | **holds** |',
            'tools/optimize.py X',
        ),
        (
            'training/progressive.json',
            paired('progressive', [(28.0, 100.0)] * 3, [(27.9, 50.0), (27.8, 60.0), (28.0, 70.0)]),
            '| lite | not stated | 40.0 % [30.0 %, 50.0 %], -0.10 dB [-0.35, +0.15] | **holds in part** |',
            'benchmarks/recipes.py progressive --config configs/vrt_spike_lite.py --iterations 7 --seeds 0 1 2 '
            '--out benchmarks/records/training/progressive.json',
        ),
        (
            'training/distillation.json',
            paired('distillation', [(28.0, 1.0)] * 3, [(28.1, 1.0)] * 3),
            "| Distillation keeps the student's quality | tiny | not stated | +0.10 dB [+0.10, +0.10] | **holds** |",
            '--depths 1 2 --teacher teacher.pth --iterations 7',
        ),
        (
            'training/distillation.json',
            paired('distillation', [(28.0, 1.0)] * 3, [(28.1, 1.0)] * 3, gain=1.9),
            "| Distillation keeps the student's quality | tiny | not stated | +0.10 dB [+0.10, +0.10] | undecided |",
            'benchmarks/recipes.py distillation',
        ),
        (
            'training/amp_overflow.json',
            overflow({65536: 3, 1024: 1}),
            '| A lower initial loss scale steadies AMP | tiny | not stated | 3 and 1 of 60 steps lost | **holds** |',
            'benchmarks/amp_overflow.py configs/vrt_spike_tiny.py --iterations 60 --scales 65536 1024 '
            '--out benchmarks/records/training/amp_overflow.json --cfg-options a.b=1',
        ),
        (
            'guide/memory.json',
            memory_record(baseline=100.0, two_clips=200.0, amp_two_clips=150.0, one_clip_accumulated=120.0),
            '| AMP makes room for a batch of two | eight entries | no more | -50.0 % | **does not hold** |',
            'benchmarks/guide_memory.py --shape 5 48 48 --json benchmarks/records/guide/memory.json',
        ),
    ],
)
def test_records_of_other_commands_decide_and_are_told_how_to_make(checkout, update, path, made, said, command):
    (checkout / 'benchmarks/records' / path).write_text(json.dumps(made))
    update('guide', checkout)
    text = (checkout / 'docs/guide.md').read_text(encoding='utf-8')
    assert said in text
    assert any(line.startswith('$ python ') and command in line for line in text.splitlines())
    assert '# A Processor, 2 threads' in text


@pytest.mark.parametrize(
    ('page', 'names'), [('guide.md', ('holds', 'undecided')), ('guide.zh-CN.md', ('成立', '未定'))]
)
def test_every_claim_that_a_record_speaks_to_has_a_verdict(page, names):
    text = (ROOT / 'docs' / page).read_text(encoding='utf-8')
    for name in names:
        assert name in text
    for claim in CLAIMS['claims']:
        if claim['network'] in ('tiny', 'lite') or claim['rule'] in ('room', 'memory'):
            claimed = claim['zh' if 'zh' in page else 'en']
            rows = [line for line in text.splitlines() if line.startswith(f'| {claimed} |')]
            assert all('| not measured |' not in line and '| 未测量 |' not in line for line in rows), claimed


def test_a_record_of_no_known_kind_is_named(checkout, update):
    (checkout / 'benchmarks/records/guide/odd.json').write_text(json.dumps({'kind': 'odd', **HERE}))
    with pytest.raises(VrtSpikeError, match=r"odd\.json: a record of kind 'odd'; expected one of configs, memory"):
        update('guide', checkout)


@pytest.mark.parametrize('network', ['eight', 'v0'])
def test_variants_for_quality_are_the_plans(network):
    plans = CLAIMS['networks'][network]
    named = read_variants(ROOT / f'benchmarks/guide/quality_{network}.yaml')
    wanted = {claim['plan'] for claim in CLAIMS['claims'] if claim['rule'] == 'loss' and claim['network'] == network}
    assert wanted <= {each.name for each in named}
    for each in named:
        resolved = flat(load_config(ROOT / plans['baseline'], overrides=each.overrides).to_dict())
        plan = flat(load_config(ROOT / plans.get(each.name, plans.get('aggressive'))).to_dict())
        differing = {key for key in resolved | plan if resolved.get(key) != plan.get(key)}
        assert differing == ({'.train_cfg.max_iters'} if each.name == 'longer_training' else set())


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
