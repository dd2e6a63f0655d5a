import pytest

from vrtspike.analysis import read_logs, run_checks
from vrtspike.analysis.checklist import CHECKS, TITLES


@pytest.fixture
def make_log(make_run, made_up):
    def make(name, psnr=28.0, memory=4000.0, **changes):
        folder = make_run(name, samples=120, **changes)
        lines = made_up.scalars(psnr=psnr)
        made_up.write(folder / '20260101/vis_data/scalars.json', lines)
        path = folder / 'stage_costs.jsonl'
        path.write_text(path.read_text().replace('"memory_mib": 4000.0', f'"memory_mib": {memory}'))
        return read_logs([folder])

    return make


def outcomes(run, baseline, **options) -> dict:
    return {check.name: check.passed for check in run_checks(run, baseline, **options)}


def test_all_pass(make_log, made_up):
    stages = made_up.STAGES | {'stage8': (50.0, 20.0, 100.0)}
    checks = run_checks(make_log('fast', psnr=27.8, memory=3000.0, stages=stages, seed=1), make_log('baseline'))
    assert [check.name for check in checks] == list(CHECKS) == list(TITLES)
    assert all(check.passed for check in checks), checks
    assert 'stage8' in checks[-1].numbers
    assert '(-25.0%)' in checks[2].numbers


def test_a_run_like_its_baseline_is_no_improvement(make_log):
    found = outcomes(make_log('same', seed=1), make_log('baseline'))
    assert found == {'loss': True, 'quality': True, 'memory': False, 'throughput': False, 'bottleneck': False}


def test_lost_quality_and_how_much_of_it_is_allowed(make_log):
    run, baseline = make_log('run', psnr=27.5), make_log('baseline')
    assert outcomes(run, baseline)['quality'] is False
    assert outcomes(run, baseline, psnr_drop=0.6)['quality'] is True


def test_loss_that_rises_or_is_no_number(make_log, made_up, tmp_path):
    baseline = make_log('baseline')
    rising, broken = made_up.scalars(), made_up.scalars()
    for line in rising:
        if 'loss' in line:
            line['loss'] = line['step']
    broken[3]['loss'] = float('inf')
    for lines in (rising, broken):
        log = read_logs([made_up.write(tmp_path / 'scalars.json', lines)])
        assert outcomes(log, baseline, names=['loss']) == {'loss': False}


def test_what_was_not_measured_does_not_pass(made_up, tmp_path):
    log = read_logs([made_up.write(tmp_path / 'scalars.json', made_up.scalars())])
    found = outcomes(log, log)
    assert found['memory'] is None
    assert found['bottleneck'] is None
    assert found['quality'] is True
