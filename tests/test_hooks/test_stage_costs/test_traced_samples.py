import pytest
from stage_cost_runs import HOOK, marked, read, read_trace

pytestmark = pytest.mark.usefixtures('measured_rates')


def test_a_trace_of_the_first_samples_equals_their_records(make_runner, log_of, tmp_path):
    runner = marked(make_runner, iters=8, hooks=[HOOK | {'trace': 2}])
    runner.train()
    _, *samples = read(runner)
    iterations, sums = read_trace(tmp_path / 'run/trace.json.gz')
    assert iterations == [2, 4]
    for sample in samples[:2]:
        for name, phases in (sample['stages'] | sample['parts']).items():
            for phase in ('forward', 'recompute', 'backward'):
                ms = sums.get((sample['iteration'], name, phase), 0.0)
                assert ms == pytest.approx(phases.get(f'{phase}_ms', 0.0), rel=1e-3, abs=1e-4)
    assert 'A trace of 2 iterations is in' in log_of(runner)


def test_a_training_that_ends_early_writes_what_it_traced(make_runner, tmp_path):
    marked(make_runner, iters=4, hooks=[HOOK | {'trace': 100}]).train()
    assert read_trace(tmp_path / 'run/trace.json.gz')[0] == [2, 4]


def test_without_trace_nothing_is_kept(make_runner, tmp_path):
    runner = marked(make_runner, iters=4, hooks=[HOOK])
    runner.train()
    (hook,) = (each for each in runner.hooks if type(each).__name__ == 'StageCostHook')
    assert not list((tmp_path / 'run').glob('trace*'))
    assert all(sample.spans == [] for sample in hook.summary.samples)


def test_a_trace_that_cannot_be_written_is_missing_and_nothing_else(make_runner, log_of, tmp_path):
    (tmp_path / 'run/trace.json.gz').mkdir(parents=True)
    runner = marked(make_runner, iters=6, hooks=[HOOK | {'trace': 1}])
    runner.train()
    assert [record['kind'] for record in read(runner)] == ['run', *['sample'] * 3]
    assert log_of(runner).count('StageCostHook failed (IsADirectoryError') == 1
