import json

import msgspec
import pytest

from vrtspike.analysis import compare, read_logs
from vrtspike.analysis.comparison import Comparison, GmacRatio
from vrtspike.errors import LogError


def compared(first, second) -> Comparison:
    return compare(read_logs([first]), read_logs([second]))


def test_a_real_difference_is_told_from_noise(make_run, made_up):
    stages = made_up.STAGES | {'stage8': (80.0, 30.0, 180.0)}
    found = compared(make_run('a', samples=200), make_run('b', samples=200, seed=1, stages=stages))
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(found), allow_nan=False)), Comparison) == found
    assert found.stages['stage8'].ratio == pytest.approx(290 / 340, rel=0.01)
    assert found.stages['stage8'].verdict == 'faster'
    assert {name for name, entry in found.stages.items() if entry.verdict == 'noise'} == set(stages) - {'stage8'}
    low, high = found.iteration_ms.interval
    assert low < (made_up.WHOLE - 50) / made_up.WHOLE < high < 1


def test_a_run_against_its_like_is_noise(make_run):
    """Of 40 comparisons of runs that differ by chance only, few are called different in any of nine stages."""
    called = 0
    for seed in range(40):
        found = compared(
            make_run(f'a{seed}', samples=64, seed=2 * seed), make_run(f'b{seed}', samples=64, seed=2 * seed + 1)
        )
        called += any(entry.verdict != 'noise' for entry in found.stages.values())
    assert called <= 6


def test_slower_is_called_slower(make_run):
    found = compared(make_run('a', samples=100), make_run('b', samples=100, seed=1, scale=1.2))
    assert found.iteration_ms.verdict == 'slower'
    assert found.iteration_ms.ratio == pytest.approx(1.2, rel=0.01)


def test_batches_of_other_sizes_are_compared_by_clip(made_up, tmp_path):
    lines = [made_up.run_line(), *made_up.sample_lines(100)]
    first = made_up.write(tmp_path / 'a.jsonl', lines)
    for line in lines[1:]:
        line['clips'] = 4
    found = compared(first, made_up.write(tmp_path / 'b.jsonl', lines))
    assert found.unit == 'ms per clip'
    assert found.iteration_ms.ratio == pytest.approx(1)
    assert found.total_ms.ratio == pytest.approx(0.5)
    assert found.stages['stage8'].ratio == pytest.approx(0.5)
    ratio = found.throughput[1].clips_per_s / found.throughput[0].clips_per_s
    assert ratio == pytest.approx(2)


def test_where_most_iterations_have_none_means_are_compared(made_up, tmp_path):
    logs = []
    for name, ms in (('a', 60.0), ('b', 30.0)):
        lines = [made_up.run_line(), *made_up.sample_lines(120)]
        for line in lines[1:]:
            line['stages']['optimizer'] = {'forward_ms': ms if line['iteration'] % 6 == 0 else 0.0}
        logs.append(made_up.write(tmp_path / f'{name}.jsonl', lines))
    entry = compared(*logs).stages['optimizer']
    assert entry.statistic == 'mean'
    assert entry.ratio == pytest.approx(0.5, rel=0.01)


def test_too_few_samples_for_a_verdict(make_run):
    entry = compared(make_run('a', samples=5), make_run('b', samples=5)).iteration_ms
    assert (entry.interval, entry.verdict) == (None, 'unknown')
    assert entry.ratio == pytest.approx(1)


def test_gmacs_are_not_compared_while_operators_are_missing(make_run):
    complete = make_run('a', samples=20)
    assert compared(complete, complete).gmacs == GmacRatio(70.0, 70.0, 1.0, [])
    found = compared(complete, make_run('b', samples=20, run={'uncounted_ops': {'my::op': 2}}))
    assert found.gmacs.ratio is None
    assert any('my::op' in text for text in found.warnings)


def test_unfair_comparisons_are_called_so(make_run):
    found = compared(make_run('a', samples=20), make_run('b', samples=20, run={'device': {'name': 'Other'}}))
    assert any('differ in device' in text for text in found.warnings)


def test_stages_of_one_run_only(make_run, made_up):
    stages = {name: means for name, means in made_up.STAGES.items() if name != 'fuse1'}
    found = compared(make_run('a', samples=20), make_run('b', samples=20, stages=stages))
    assert found.only_in_one == ['fuse1']


def test_unsynchronised_times_are_not_compared_with_ours(data, make_run):
    with pytest.raises(LogError, match='cannot be compared'):
        compared(data / 'legacy_timing.txt', make_run('a', samples=20))
    warnings = compared(data / 'legacy_timing.txt', data / 'legacy_timing.txt').warnings
    assert any('unsynchronised' in text for text in warnings)


def test_a_log_without_times(tmp_path, make_run):
    path = tmp_path / 'train.log'
    path.write_text('step 1/9 | loss=0.5 lr=1e-4\n')
    with pytest.raises(LogError, match=r'train.log \(legacy_train\) has no times'):
        compared(path, make_run('a', samples=20))
