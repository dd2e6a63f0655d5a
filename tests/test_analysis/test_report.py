"""Reports of made-up runs, whose truth is known."""

import json
import re

import msgspec
import pytest

from vrtspike.analysis import build_report, compare, read_logs, run_checks
from vrtspike.analysis.statistics.curves import Quality
from vrtspike.analysis.statistics.peak_memory import PeakMemory
from vrtspike.errors import LogError
from vrtspike.reporting.report_plots import save_picture
from vrtspike.reporting.run_page import run_page
from vrtspike.reporting.terminal import show_report

STAGE_KEYS = {'forward_ms', 'recompute_ms', 'backward_ms', 'total_ms', 'share', 'memory_mib', 'allocated_mib'}
STATISTICS = {'median', 'mean', 'p5', 'p95', 'iqr', 'min', 'max', 'count'}


def test_contract_of_the_json(report, made_up):
    found = json.loads(json.dumps(msgspec.to_builtins(report), allow_nan=False))
    assert report.samples == 300
    assert set(found['iteration_ms']) == STATISTICS
    assert list(report.stages) == list(made_up.STAGES)
    for name, (forward, recompute, backward) in made_up.STAGES.items():
        stage = found['stages'][name]
        assert set(stage) == STAGE_KEYS
        for phase, ms in (('forward', forward), ('recompute', recompute), ('backward', backward)):
            if ms:
                assert set(stage[f'{phase}_ms']) == STATISTICS
                assert stage[f'{phase}_ms']['median'] == pytest.approx(ms, rel=0.01)
            else:
                assert stage[f'{phase}_ms'] is None
    assert report.stages['stage8'].memory_mib == 4000.0
    assert report.source_format == 'vrtspike'
    assert report.warnings == []


def test_memory_and_curves_and_validation(report):
    assert report.memory == PeakMemory(4000.0, 'stage8')
    assert report.validation['psnr'] == Quality(last=28.4, last_iteration=40, best=28.4, best_iteration=40)
    assert report.convergence.trend == 'falling'
    assert report.curves['psnr'].iterations == [10, 20, 30, 40]
    assert len(report.curves['iteration_ms'].values) == 300


def test_big_or_inefficient(report):
    roof = report.roofline
    assert list(roof) == ['stage1', 'stage8']
    # stage1: 2 clips of 50 GMAC at 2000 GMAC/s are 50 of its 60 ms; stage8: 20 of its 100 ms.
    assert roof['stage1'].efficiency == pytest.approx(50 / 60, rel=0.01)
    assert (roof['stage1'].verdict, roof['stage1'].bound) == ('big', 'compute')
    assert roof['stage8'].efficiency == pytest.approx(20 / 100, rel=0.01)
    assert roof['stage8'].verdict == 'inefficient'


def test_bytes_of_16_bit_training_are_half(make_run):
    costs = {'stage1': {'gmacs': 1.0, 'mib': 4096.0}}
    rates = {'gmacs_per_s': 1e6, 'gib_per_s': 100.0}
    efficiencies = {}
    for precision in ('float32', 'bfloat16'):
        folder = make_run(precision, samples=20, run={'precision': precision, 'costs': costs, 'rates': rates})
        roof = build_report(read_logs([folder])).roofline['stage1']
        assert roof.bound == 'memory'
        efficiencies[precision] = roof.efficiency
    assert efficiencies['float32'] == pytest.approx(80 / 60, rel=0.02)  # 2 x 4 GiB at 100 GiB/s
    assert efficiencies['bfloat16'] == pytest.approx(40 / 60, rel=0.02)


def without(sample: dict, *keys: str) -> dict:
    return {key: value for key, value in sample.items() if key not in keys}


NO_TIME = {'iteration_ms': 0, 'stages': {'stage1': {}}}
ODD = {
    'one sample': lambda run, samples: samples[:1],
    'five samples': lambda run, samples: [run, *samples[:5]],
    'no description': lambda run, samples: samples,
    'no time at all': lambda run, samples: [sample | {'iteration_ms': 0, 'stages': {'a': {}}} for sample in samples],
    'no time in most iterations': lambda run, samples: [*samples[:2], *(each | NO_TIME for each in samples[2:])],
    'no stages': lambda run, samples: [sample | {'stages': {}} for sample in samples],
    'losses of null': lambda run, samples: [sample | {'loss': None, 'memory_mib': None} for sample in samples],
    'losses of zero': lambda run, samples: [sample | {'loss': 0} for sample in samples],
    'only what is required': lambda run, samples: [without(each, 'loss', 'memory_mib', 'parts') for each in samples],
    'one iteration over and over': lambda run, samples: [sample | {'iteration': 5} for sample in samples],
    'a stage with a Chinese name': lambda run, samples: [
        each | {'stages': {'全部': {'forward_ms': 1}}} for each in samples
    ],
    'rates of zero': lambda run, samples: [run | {'rates': {'gmacs_per_s': 0, 'gib_per_s': 0}}, *samples],
    'costs without bytes': lambda run, samples: [run | {'costs': {'stage1': {'gmacs': 1.0}}}, *samples],
    'validations only': lambda run, samples: [{'psnr': 30.0, 'step': 3}, {'psnr': 31.0, 'ssim': 0.9, 'step': 4}],
    'an iteration of no time': lambda run, samples: [{'iter': 1, 'step': 1, 'lr': 1, 'time': 0.0, 'loss': 1}],
}


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('odd', ODD.values(), ids=ODD.keys())
def test_odd_logs_are_reported_like_others(odd, made_up, tmp_path, capsys):
    path = made_up.write(tmp_path / 'log.json', odd(made_up.run_line(), list(made_up.sample_lines(30))))
    log = read_logs([path])
    report = build_report(log)
    json.dumps(msgspec.to_builtins(report), allow_nan=False)
    assert not re.search('not drawn|Not described', run_page(report))
    save_picture(report, tmp_path / 'report.png')
    show_report(report)
    assert 'Summary' in capsys.readouterr().out
    if log.cost_format:
        json.dumps(msgspec.to_builtins(compare(log, log)), allow_nan=False)
    assert len(run_checks(log, log)) == 5


class TestWarnings:
    def test_damage(self, make_run):
        folder = make_run('run', samples=20)
        with open(folder / 'stage_costs.jsonl', 'a') as file:
            file.write('{"kind": "sample", "iter')
        warnings = build_report(read_logs([folder])).warnings
        assert any('1 damaged or truncated line of 22 left out, the first is line 22' in text for text in warnings)

    def test_few_samples(self, make_run):
        report = build_report(read_logs([make_run('run', samples=10)]))
        assert report.bottlenecks[0].share_interval is None
        assert any('Too few samples' in text for text in report.warnings)

    def test_resumed_run_with_another_precision(self, made_up, tmp_path):
        samples = list(made_up.sample_lines(40))
        lines = [made_up.run_line(), *samples[:20], made_up.run_line(precision='bfloat16'), *samples[20:]]
        report = build_report(read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', lines)]))
        assert report.samples == 40
        assert any('disagree about precision (float32 and bfloat16)' in text for text in report.warnings)

    def test_the_loss_of_other_projects_may_have_parts_only(self, made_up, tmp_path):
        lines = [
            {'lr': 1e-4, 'loss_pix': 1 / i, 'loss_gan': 0.1, 'time': 0.5, 'iter': i, 'step': i} for i in range(1, 40)
        ]
        report = build_report(read_logs([made_up.write(tmp_path / 'scalars.json', lines)]))
        assert report.convergence is None
        assert {'loss_pix', 'loss_gan'} < set(report.curves)
        assert any('No total loss was logged' in text for text in report.warnings)

    def test_stages_that_do_not_sum_to_the_iteration(self, made_up, tmp_path):
        lines = [made_up.run_line(), *made_up.sample_lines(20)]
        for line in lines[1:]:
            line['iteration_ms'] *= 1.25
        log = read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', lines)])
        assert any('add up to 80.0% of the iteration' in text for text in build_report(log).warnings)

    def test_notes_and_uncounted_operators(self, make_run):
        run = {'notes': ['no memory by stage on a CPU'], 'uncounted_ops': {'torchvision::deform_conv2d': 3}}
        warnings = build_report(read_logs([make_run('run', samples=20, run=run)])).warnings
        assert 'no memory by stage on a CPU' in warnings
        assert any('torchvision::deform_conv2d' in text for text in warnings)

    def test_long_logs_tell_that_they_were_sketched(self, make_run, monkeypatch):
        monkeypatch.setattr('vrtspike.analysis.statistics.trace.CAPACITY', 64)
        report = build_report(read_logs([make_run('run', samples=200)]))
        assert any('sketch' in text and 'of 200 samples' in text for text in report.warnings)


def test_a_log_without_anything_to_report_is_refused_by_what_it_has(made_up, tmp_path):
    log = read_logs([made_up.write(tmp_path / 'scalars.json', [{'hue': 1.0, 'step': 1}, {'hue': 2.0, 'step': 2}])])
    with pytest.raises(LogError, match=r'no loss and no validation\. Found: hue'):
        build_report(log)


def test_numbers_that_cannot_be_computed_with_are_refused(made_up, tmp_path):
    rates = {'gmacs_per_s': 1e-307, 'gib_per_s': 1e-307}
    log = read_logs([made_up.write(tmp_path / 'a.jsonl', [made_up.run_line(rates=rates), *made_up.sample_lines(20)])])
    with pytest.raises(LogError, match='too large or too small'):
        build_report(log)


class TestLegacy:
    def test_timing(self, data):
        report = build_report(read_logs([data / 'legacy_timing.txt']))
        assert report.samples == 3
        assert report.source_format == 'legacy_timing'
        assert report.stages['stage8'].forward_ms.median == 590.5
        assert report.stages['stage8'].backward_ms is None
        assert report.stages['stage8'].avg_since_start_ms == 586.9
        assert sum(stage.share for stage in report.stages.values()) == pytest.approx(1)
        text = ' '.join(report.warnings)
        for word in ('without waiting for the device', 'twice', 'last micro-step', 'forward pass'):
            assert word in text
        assert report.findings[0].kind == 'measure'

    def test_print(self, data):
        report = build_report(read_logs([data / 'legacy_print.log']))
        assert report.stages['tsa'].share == pytest.approx(567.89 / 1930.85)
        assert 'without waiting for the device' in ' '.join(report.warnings)

    def test_train(self, data):
        report = build_report(read_logs([data / 'legacy_train.log']))
        assert report.stages == {}
        assert report.iteration_ms.mean == 6100
        assert report.throughput.clips_per_s == 0.5
        assert report.memory.peak_mib == pytest.approx(1228.8)
        assert report.validation['psnr'].last == 29.0

    def test_mmengine(self, made_up, tmp_path):
        report = build_report(read_logs([made_up.write(tmp_path / 'scalars.json', made_up.scalars())]))
        assert report.source_format == 'mmengine'
        assert list(report.stages) == ['data']
        assert report.phase_shares == {}
        assert 'window' in ' '.join(report.warnings)
