"""The pages of the performance guide: what records say is there, in both languages, and how to make them again."""

import json
import shutil

import jsonschema
import msgspec
import pytest
from made_up_records import (
    CLAIMS,
    EIGHT,
    HERE,
    NARROW,
    ROOT,
    decibels,
    memory_record,
    overflow,
    progressive,
    quality,
    record,
    row,
    search,
)

from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import compare

SCHEMAS = {
    'rows': json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8')),
    'variants': json.loads((ROOT / 'benchmarks/ablation.schema.json').read_text(encoding='utf-8')),
}
RECORDS = sorted((ROOT / 'benchmarks/records/guide').glob('*.json'))


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what the pages are made of, and no records."""
    shutil.copytree(ROOT / 'benchmarks/guide', tmp_path / 'benchmarks/guide')
    for folder in ('guide', 'training', 'optimize'):
        (tmp_path / 'benchmarks/records' / folder).mkdir(parents=True)
    return tmp_path


def test_without_records_every_verdict_is_open(checkout, render):
    for page, words in (('guide.md', ('holds', 'not measured')), ('guide.zh-CN.md', ('成立', '未测量'))):
        text = render(f'docs/{page}', checkout)
        assert '{{' not in text
        assert f'| **{words[0]}** |' not in text
        assert text.count(f'| {words[1]} |  |\n') == len(CLAIMS['claims'])


def test_a_record_decides(checkout, render):
    rows = [row(EIGHT['baseline'], [200.0, 210.0]), row(EIGHT['amp'], [100.0, 105.0], peak=80.0)]
    path = checkout / 'benchmarks/records/guide/cpu_eight.json'
    path.write_text(json.dumps(record(*rows)))
    (checkout / 'benchmarks/records/guide/quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01)))
    text = render('docs/guide.md', checkout)
    assert '| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] | **holds** |' in text
    assert '| AMP lowers the memory | eight entries | lower | 20.0 % | **holds** |' in text
    assert '| 102 ms | 50.0 % [50.0 %, 50.0 %] |' in text  # the median of both rounds
    assert '80 MiB (-20%) | < 0.1 dB | -0.01 dB [-0.03, +0.01] |' in text
    assert 'A Processor: 2 measured (holds: 2).' in text
    assert f'Of {len(CLAIMS["claims"])} claims, {len(CLAIMS["claims"]) - 2} are not measured.' in text
    assert '--shape 1 5 24 24 --rounds 2 --json benchmarks/records/guide/cpu_eight.json' in text
    path.write_text(json.dumps(record(*rows[:1], row(EIGHT['amp'], [300.0, 300.0]))))
    assert '**does not hold** |' in render('docs/guide.md', checkout)


def test_a_quality_that_cannot_count_reads_so(checkout, render):
    folder = checkout / 'benchmarks/records/guide'
    (folder / 'cpu_eight.json').write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0]))))
    (folder / 'quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01, 'not informative')))
    assert '| < 0.1 dB | not informative |' in render('docs/guide.md', checkout)


def test_a_plan_without_quality_of_its_own_shows_that_of_the_copy(checkout, render):
    folder = checkout / 'benchmarks/records'
    (folder / 'guide/cpu_eight.json').write_text(
        json.dumps(record(row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0])))
    )
    made = quality(-0.01, -0.03, 0.01, config=NARROW)
    made['iterations'], made['variants'][0]['gain_db'] = 1200, {'mean': 2.5}
    (folder / 'guide/quality_narrow.json').write_text(json.dumps(made))
    (folder / 'restoring').mkdir()
    scores = {'split': 'val', 'threshold_factor': 1, 'blur_psnr_db': 25.0, 'sdm_psnr_db': 26.5}
    (folder / 'restoring/sdm.json').write_text(json.dumps({'demo_clips': [scores, scores | {'split': 'train'}]}))
    text = render('docs/guide.md', checkout)
    assert '| < 0.1 dB | -0.01 dB [-0.03, +0.01], on a copy 1/6 as wide |' in text
    assert '| eight entries, 1/6 as wide | < 0.1 dB | -0.01 dB [-0.03, +0.01] | **holds** |  |' in text
    assert 'In 1,200 iterations it gains 2.50 dB over the blurred input, and the estimate alone 1.50 dB.' in text


def test_a_reference_without_gain_decides_nothing(checkout, render):
    folder = checkout / 'benchmarks/records/guide'
    (folder / 'cpu_eight.json').write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0]))))
    untrained = msgspec.to_builtins(compare({}, {0: 25.0}, {0: 0.04}))
    names = ('amp', 'window_6')
    made = quality(0, 0, 0, config=NARROW) | {
        'common': {'train_cfg.max_iters': 9, 'a.b': 1},
        'variants': [
            {'name': 'reference', 'difference_db': None, 'runs': [{'gain_db': 0.04}], 'failure': None},
            *({'name': name, 'difference_db': untrained, 'runs': [], 'failure': None} for name in names),
        ],
    }
    (folder / 'quality_narrow.json').write_text(json.dumps(made))
    text = render('docs/guide.md', checkout)
    assert '| < 0.1 dB | not measured |' in text
    assert '| eight entries, 1/6 as wide | < 0.5 dB | the baseline gained +0.04 dB | undecided |  |' in text
    assert ' claims, 2 about quality cannot be judged before a training in which the baseline' in text
    assert 'Quality, on any device' not in text
    assert (
        f'$ python tools/ablate.py {NARROW} --variants benchmarks/guide/quality_narrow.yaml '
        '--seeds 0 1 2 --iterations 9 --stop-without-gain --json benchmarks/records/guide/quality_narrow.json '
        '--cfg-options a.b=1  # A Processor, 2 threads' in text
    )


def test_records_that_nothing_can_be_made_of_are_named(checkout, render):
    path = checkout / 'benchmarks/records/guide/other.json'
    path.write_text(json.dumps(record(row('configs/other.py', [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'other\.json: its first config is configs/other\.py'):
        render('docs/guide.md', checkout)
    for name in ('other.json', 'second.json'):
        path.with_name(name).write_text(json.dumps(record(row(EIGHT['baseline'], [1.0]))))
    with pytest.raises(VrtSpikeError, match=r'second\.json: the second record'):
        render('docs/guide.md', checkout)


def test_threads_make_no_other_device(checkout, render):
    made = record(row(EIGHT['baseline'], [100.0, 100.0]), row(EIGHT['amp'], [50.0, 50.0]))
    (checkout / 'benchmarks/records/guide/cpu_eight.json').write_text(json.dumps(made))
    made = search(compile=([100.0], [110.0]))
    made['device'] = made['device'] | {'threads': 1}
    (checkout / 'benchmarks/records/optimize/tiny.json').write_text(json.dumps(made))
    text = render('docs/guide.md', checkout)
    assert (
        '| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] | **holds** | A Processor |'
        in text
    )
    assert '| torch.compile helps | tiny | not stated | -10.0 % | **does not hold** | A Processor |' in text
    assert '# A Processor, 2 threads' in text
    assert '# A Processor, 1 thread' in text


def test_two_devices_have_a_section_each_and_share_the_quality(checkout, render):
    folder = checkout / 'benchmarks/records/guide'
    for name, times in (('A Processor', [50.0, 50.0]), ('A Card', [100.0, 100.0])):
        made = record(row(EIGHT['baseline'], [100.0, 100.0]), row(EIGHT['amp'], times))
        made['device']['name'] = name
        (folder / f'{name}.json').write_text(json.dumps(made))
    (folder / 'quality.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01)))
    text = render('docs/guide.md', checkout)
    assert text.count('| AMP saves computing time | eight entries | 30–40 % | 50.0 % [50.0 %, 50.0 %] |') == 1
    assert text.count('| AMP saves computing time | eight entries | 30–40 % | 0.0 % [0.0 %, 0.0 %] |') == 1
    assert text.count('-0.01 dB [-0.03, +0.01] |') == 2


def test_a_training_has_one_record_whatever_the_device(checkout, render):
    made = progressive([(28.0, 1.0)] * 3, [(28.1, 1.0)] * 3)
    (checkout / 'benchmarks/records/guide/on_a_card.json').write_text(json.dumps(made | other_device('A Card')))
    (checkout / 'benchmarks/records/training/progressive.json').write_text(json.dumps(made))
    with pytest.raises(VrtSpikeError, match=r'progressive\.json: the second record of its kind of lite on any device'):
        render('docs/guide.md', checkout)


def trained(psnr_db, gain_db=2.5):
    return [{'seed': seed, 'psnr_db': psnr_db, 'gain_db': gain_db} for seed in range(3)]


@pytest.mark.parametrize(('gain_db', 'verdict'), [(2.5, '**holds**'), (1.9, 'undecided')])
def test_a_taught_student_is_compared_with_one_trained_alone(checkout, render, gain_db, verdict):
    made = quality(-0.01, -0.03, 0.01, config=NARROW) | {'iterations': 1200}
    worse = {'difference_db': decibels(-0.4, -0.5, -0.3), 'failure': None, 'overrides': {}}
    made['variants'] = [
        made['variants'][0] | {'gain_db': {'mean': 2.5}},
        {'name': 'half_depth', 'runs': trained(28.0, gain_db), **worse},
        {'name': 'distillation', 'runs': trained(28.1), **worse},
    ]
    (checkout / 'benchmarks/records/guide/quality_narrow.json').write_text(json.dumps(made))
    text = render('docs/guide.md', checkout)
    claim = "| Distillation keeps the student's quality | eight entries, 1/6 as wide | not stated |"
    assert f'{claim} +0.10 dB [+0.10, +0.10] | {verdict} |' in text
    assert '| `distillation` | 1,200 | -0.40 [-0.50, -0.30] |' in text


def test_several_records_of_quality_have_different_plans(checkout, render):
    folder = checkout / 'benchmarks/records/guide'
    for name in ('quality_a', 'quality_b'):
        (folder / f'{name}.json').write_text(json.dumps(quality(-0.01, -0.03, 0.01, config=NARROW)))
    with pytest.raises(VrtSpikeError, match=r'quality_b\.json: amp has another record; keep one'):
        render('docs/guide.md', checkout)


def other_device(name):
    return {'device': HERE['device'] | {'name': name}}


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
            progressive([(28.0, 100.0)] * 3, [(27.9, 50.0), (27.8, 60.0), (28.0, 70.0)]),
            '| lite | not stated | 40.0 % [30.0 %, 50.0 %], -0.10 dB [-0.35, +0.15] | **holds in part** |',
            'benchmarks/recipes.py progressive --config configs/vrt_spike_lite.py --iterations 7 --seeds 0 1 2 '
            '--out benchmarks/records/training/progressive.json',
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
def test_records_of_other_commands_decide_and_are_told_how_to_make(checkout, render, path, made, said, command):
    (checkout / 'benchmarks/records' / path).write_text(json.dumps(made))
    text = render('docs/guide.md', checkout)
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


def test_a_record_of_no_known_kind_is_named(checkout, render):
    (checkout / 'benchmarks/records/guide/odd.json').write_text(json.dumps({'kind': 'odd', **HERE}))
    with pytest.raises(VrtSpikeError, match=r"odd\.json: a record of kind 'odd'; expected one of configs, memory"):
        render('docs/guide.md', checkout)


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_follow_their_schema(path):
    found = json.loads(path.read_text(encoding='utf-8'))
    jsonschema.validate(found, next(schema for key, schema in SCHEMAS.items() if key in found))
