import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tool_processes import ForkedProcess, run_tool

from vrtspike.datasets import ClipDataset, ProcessedClips

TOOL = Path(__file__).parents[2] / 'tools/simulate_spikes.py'


def command(*arguments):
    return [sys.executable, str(TOOL), *map(str, arguments)]


def write_video(path, frames, fps=60):
    rows, columns = np.indices((32, 48))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, (48, 32))
    for i in range(frames):
        gray = (128 + 100 * np.sin(columns / 6 + i / 9) * np.cos(rows / 7)).astype(np.uint8)
        writer.write(np.stack([gray] * 3, axis=-1))
    writer.release()
    return path


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('video') / 'street.avi', 40)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_a_video_becomes_training_data(video, tmp_path):
    options = ['--steps-per-frame', 24, '--threshold', 2, '--noise', 0.001, '--dead-time', 1, '--reset', 'zero']
    for split in ('train', 'val'):
        process = run_tool(
            'simulate_spikes', video, '--out', tmp_path, '--split', split, '--name', f'{split}_street', *options
        )
        assert process.returncode == 0, process.stderr
        assert '20 frames, each of 2 frames of the video and 24 steps' in process.stdout
    dataset = ClipDataset(ProcessedClips(tmp_path), 'val')
    assert dataset[0]['spikes'].shape == (5, 24, 16, 24)


def test_a_killed_run_goes_on(video, tmp_path):
    options = ['--frames-per-exposure', 1, '--steps-per-frame', 200]
    said = tmp_path / 'said'
    process = ForkedProcess([TOOL, video, '--out', tmp_path / 'killed', *options], said, said)
    state = tmp_path / 'killed' / 'train' / '.street.growing' / 'state.npz'
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert state.exists(), 'it ended before it could be killed'
    assert run_tool('simulate_spikes', video, '--out', tmp_path / 'killed', *options).returncode == 0
    assert run_tool('simulate_spikes', video, '--out', tmp_path / 'whole', *options).returncode == 0
    assert contents(tmp_path / 'killed') == contents(tmp_path / 'whole')


def peak_mib(video, out):
    """Return the most memory that a simulation was resident with."""
    code = (
        'import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True); '
        'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done.returncode)'
    )
    options = ['--interpolation', 'linear', '--frames-per-exposure', 20, '--steps-per-frame', 20]
    arguments = [sys.executable, '-c', code, *command(video, '--out', out, *options)]
    peak, status = subprocess.run(arguments, capture_output=True, text=True, timeout=600).stdout.split()
    assert status == '0'
    return float(peak)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, 'RUSAGE_CHILDREN'), reason='needs the memory of child processes')
def test_ten_thousand_frames_need_the_memory_of_a_hundred(tmp_path):
    short, long = (
        peak_mib(write_video(tmp_path / f'{frames}.avi', frames), tmp_path / str(frames)) for frames in (100, 10_000)
    )
    # One frame in eight bits is 4.5 KiB: kept, ten thousand would be 44 MiB, as light 176 MiB.
    assert long - short < 12


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['absent.mp4'], 'absent.mp4 does not exist'),
    ],
)
def test_wrong_input_is_one_message(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    process = run_tool('simulate_spikes', *arguments, '--out', 'data')
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert expected in process.stderr
    assert list(tmp_path.iterdir()) == []
