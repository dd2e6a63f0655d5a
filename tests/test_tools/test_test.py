"""Tests a checkpoint as users do: the tool as a process of its own."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tool_processes import run_ranks, run_tool

from vrtspike.testing.data_sets import write_ssdm

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vrt_spike_tiny.py'
WITHOUT_ALEXNET = 'alexnet.pth does not exist' if find_spec('lpips') else 'pip install lpips'


@pytest.fixture(scope='module')
def tested(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tested')
    arguments = ['--out', 'results', '--thresholds', '1', '2', '--save-images', *tiny_run.options]
    process = run_tool('test', CONFIG, tiny_run.checkpoint, *arguments, cwd=folder)
    assert process.returncode == 0, process.stderr
    return process, folder / 'results'


def results_of(folder):
    return json.loads((folder / 'results.json').read_text())


def test_it_reproduces_what_training_reported(tested, tiny_run):
    found, reported = results_of(tested[1]), json.loads((tiny_run.folder / 'report.json').read_text())
    mean = reported['validation']['mean']
    assert abs(mean['gain_db']) > 0.01  # the network does change its input
    names = {
        'psnr_db': 1e-4,
        'blur_psnr_db': 1e-4,
        'tfp_psnr_db': 1e-4,
        'gain_db': 1e-4,
        'ssim': 1e-6,
        'blur_ssim': 1e-6,
    }
    for name, tolerance in names.items():
        assert found['mean_of_clips'][name] == pytest.approx(mean[name], abs=tolerance), name
    assert found['training'] == reported


def test_its_files_agree(tested):
    process, folder = tested
    results = results_of(folder)
    with open(folder / 'frames.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 5  # thresholds, clips, frames
    once = [row for row in rows if row['threshold_factor'] == '1.0']
    mean = sum(float(row['psnr_db']) for row in once) / len(once)
    assert results['mean_of_frames']['psnr_db'] == pytest.approx(mean)
    assert results['worst_frames'][0]['gain_db'] == min(
        float(row['psnr_db']) - float(row['blur_psnr_db']) for row in once
    )
    assert [each['factor'] for each in results['thresholds']] == [1.0, 2.0]
    assert len(list((folder / 'images').glob('*/*.png'))) == 10
    assert (folder / 'results.html').stat().st_size > 10_000
    for text in ('mean of clip means', 'mean over frames', 'TFI dB', 'Threshold of the spike camera'):
        assert text in process.stdout


def test_it_goes_on_where_it_was_interrupted(tested, tiny_run):
    folder = tested[1]
    records = sorted(folder.glob('records/*/*.json'))
    before, times = [path.read_bytes() for path in records], [path.stat().st_mtime_ns for path in records]
    records[1].unlink()
    arguments = ['--out', folder, '--thresholds', '1', '2', '--save-images', *tiny_run.options]
    process = run_tool('test', CONFIG, tiny_run.checkpoint, *arguments, cwd=folder.parent)
    assert process.returncode == 0, process.stderr
    again = [json.loads(path.read_bytes()) for path in records]
    assert [record['frames'] for record in again] == [json.loads(text)['frames'] for text in before]
    kept = [path.stat().st_mtime_ns == time for path, time in zip(records, times, strict=True)]
    assert kept == [i != 1 for i in range(len(records))]


def test_another_test_is_not_mixed_in(tested, tiny_run, error_of):
    process = run_tool('test', CONFIG, tiny_run.checkpoint, '--out', tested[1], *tiny_run.options, cwd=tested[1].parent)
    assert 'made from other inputs (thresholds: [1.0, 2.0] there, [1.0] now' in error_of(process)


def test_two_processes_give_the_same_results(tested, tiny_run, tmp_path):
    arguments = ['--out', 'results', '--launcher', 'pytorch', *tiny_run.options]
    processes = run_ranks(ROOT / 'tools/test.py', CONFIG, tiny_run.checkpoint, *arguments, cwd=tmp_path)
    assert [process.returncode for process in processes] == [0, 0], [process.stderr for process in processes]
    alone, both = results_of(tested[1]), results_of(tmp_path / 'results')
    assert both['clips'] == alone['clips']
    assert both['mean_of_clips'] == alone['mean_of_clips']


def test_real_recordings_are_scored_without_targets(tiny_run, error_of, tmp_path):
    pytest.importorskip('pypiqe')
    root = write_ssdm(tmp_path / 'real', ('blur', 'spike'), '.jpg', 'linear', size=(32, 32), frames=5)
    data = {'data.type': 'SSDMReal', 'data.root': root, 'data.spike_size': '[8,8]'}
    options = [option for option in tiny_run.options if not option.startswith('data.')]
    options += [f'{key}={value}' for key, value in data.items()]
    process = run_tool('test', CONFIG, tiny_run.checkpoint, '--out', 'refused', *options, cwd=tmp_path)
    assert 'GOPR0384_11_00 has no sharp frames to score against' in error_of(process)
    if find_spec('pyiqa') is None:
        process = run_tool('test', CONFIG, tiny_run.checkpoint, '--niqe', '--out', 'refused', *options, cwd=tmp_path)
        assert 'NIQE needs the package pyiqa' in error_of(process)
    process = run_tool('test', CONFIG, tiny_run.checkpoint, '--piqe', '--out', 'results', *options, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    results = results_of(tmp_path / 'results')
    assert set(results['mean_of_clips']) == {'piqe', 'blur_piqe'}
    assert all(0 <= score <= 100 for score in results['mean_of_clips'].values())
    assert (results['worst_frames'], results['thresholds']) == ([], [])
    assert 'blurred PIQE' in process.stdout
    assert sorted(path.name for path in tmp_path.glob('results/*.*')) == ['frames.csv', 'results.json', 'test.json']


def test_a_protocol_changes_the_scores_and_is_recorded(tested, tiny_run, tmp_path):
    arguments = ['--protocol', 'spikezoo', '--out', 'results', *tiny_run.options]
    process = run_tool('test', CONFIG, tiny_run.checkpoint, *arguments, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    published, found = results_of(tested[1]), results_of(tmp_path / 'results')
    assert (published['protocol'], found['protocol']) == ('published', 'spikezoo')
    assert found['mean_of_clips']['psnr_db'] != published['mean_of_clips']['psnr_db']
    assert found['mean_of_clips']['tfp_psnr_db'] == published['mean_of_clips']['tfp_psnr_db']  # gray as before
    assert 'protocol spikezoo' in process.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.pth'], 'absent.pth does not exist'),
        (['CHECKPOINT', '--tile', '64', '--overlap', '64'], 'cannot overlap by 64'),
        (['CHECKPOINT', '--tile', 'big'], '--tile got big'),
        (['CHECKPOINT', '--lpips', 'alexnet.pth'], WITHOUT_ALEXNET),
        (['CHECKPOINT', '--thresholds', '0.5'], 'factors'),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(tiny_run, error_of, tmp_path, arguments, message):
    arguments = [tiny_run.checkpoint if each == 'CHECKPOINT' else each for each in arguments]
    process = run_tool('test', CONFIG, *arguments, '--out', 'results', *tiny_run.options, cwd=tmp_path)
    assert message in error_of(process)
    assert not (tmp_path / 'results').exists()
