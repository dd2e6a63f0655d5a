"""Restores clips as users do: the tool as a process of its own."""

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from shipped_networks import SUMMARY, ship
from tool_processes import ROOT, run_tool

from vrtspike.datasets.io.video import VideoFile

CONFIG = Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py'


def clip_of(tiny_run):
    return next(path for path in sorted((tiny_run.demo / 'val').iterdir()))


def restore(tiny_run, *arguments, cwd, checkpoint=None):
    return run_tool('restore', CONFIG, checkpoint or tiny_run.checkpoint, *arguments, *tiny_run.options, cwd=cwd)


def test_a_folder_of_frames(tiny_run, tmp_path):
    clip = clip_of(tiny_run)
    arguments = ['--blur', clip / 'blur', '--spike', clip / 'spike', '--out', 'out']
    process = restore(tiny_run, *arguments, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert '5 frames restored: out' in process.stdout
    assert 'frames/s' in process.stdout
    blurred = [cv2.imread(str(path)) for path in sorted((clip / 'blur').glob('*.png'))]
    restored = [cv2.imread(str(path)) for path in sorted((tmp_path / 'out').glob('*.png'))]
    assert len(restored) == 5
    assert np.stack(restored).shape == np.stack(blurred).shape
    assert np.abs(np.stack(restored).astype(int) - np.stack(blurred)).mean() > 0.1
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*.png')}
    assert restore(tiny_run, *arguments, cwd=tmp_path).returncode == 0  # nothing is left to do
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_video_in_tiles_side_by_side(tiny_run, tmp_path):
    clip = clip_of(tiny_run)
    video = cv2.VideoWriter(str(tmp_path / 'blur.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 32))
    for path in sorted((clip / 'blur').glob('*.png')):
        video.write(cv2.imread(str(path)))
    video.release()
    tiles = ['--tile', '24', '--overlap', '8', '--tiles-per-batch', '4', '--tile-frames', '3']
    arguments = ['--blur', 'blur.avi', '--spike', clip / 'spike', '--out', 'out.mp4', '--side-by-side', *tiles]
    process = restore(tiny_run, *arguments, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    written = VideoFile(tmp_path / 'out.mp4')
    assert (len(written), written.fps) == (5, 10)
    assert written.size[1] > written.size[0]


def without_one_spike_file(clip, tmp_path):
    for path in sorted((clip / 'spike').glob('*.dat'))[1:]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return ['--spike', tmp_path, '--spike-size', '16', '16', '--threshold', '1'], 'no spikes for 1 of 5 frames: 00000'


def of_unknown_size(clip, tmp_path):
    (tmp_path / 'a.dat').write_bytes(b'1234')
    return ['--spike', tmp_path / 'a.dat'], 'give its height and width, as in --size 250 400 (restore.py: --spike-size)'


def of_another_size(clip, tmp_path):
    return ['--spike', clip / 'spike', '--spike-size', '32', '8'], 'aspect ratios differ'


def absent(clip, tmp_path):
    return ['--spike', 'absent'], 'absent does not exist'


@pytest.mark.parametrize('spikes', [without_one_spike_file, of_unknown_size, of_another_size, absent])
def test_wrong_spikes_are_explained_before_work_starts(tiny_run, error_of, tmp_path, spikes):
    arguments, message = spikes(clip_of(tiny_run), tmp_path)
    process = restore(tiny_run, '--blur', clip_of(tiny_run) / 'blur', *arguments, '--out', 'out', cwd=tmp_path)
    assert message in error_of(process)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out', 'out.webm'], 'expected a video (.mp4, .mkv, .mov, .avi) or a folder'),
        (['--out', 'out.mp4', '--fps', '0'], '--fps got 0.0, expected a positive number'),
        (['--out', 'out.mp4', '--fps', 'nan'], '--fps got nan, expected a positive number'),
        (['--out', 'out'], 'this network needs spikes, and the clip has none'),
    ],
)
def test_outputs_that_cannot_be_are_refused(tiny_run, error_of, tmp_path, arguments, message):
    process = restore(tiny_run, '--blur', clip_of(tiny_run) / 'blur', *arguments, cwd=tmp_path)
    assert message in error_of(process)
    assert list(tmp_path.iterdir()) == []


def test_several_instants_of_every_exposure(tiny_run, tmp_path):
    clip = clip_of(tiny_run)
    arguments = ['--blur', clip / 'blur', '--spike', clip / 'spike', '--out', 'out', '--frames-per-exposure', '2']
    process = restore(tiny_run, *arguments, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert '10 frames restored: out' in process.stdout
    names = [path.name for path in sorted((tmp_path / 'out').glob('*.png'))]
    assert names[:3] == ['00000@0.2500.png', '00000@0.7500.png', '00001@0.2500.png']
    process = restore(tiny_run, *arguments, '--side-by-side', cwd=tmp_path)
    assert process.returncode == 1
    assert 'drop it, or --frames-per-exposure' in process.stderr


def restored_files(folder):
    return {path.name: path.read_bytes() for path in folder.glob('*.png')}


def test_a_checkpoint_alone_brings_its_config(tiny_run, tmp_path):
    clip = clip_of(tiny_run)
    inputs = ['--blur', clip / 'blur', '--spike', clip / 'spike']
    process = run_tool('restore', tiny_run.checkpoint, *inputs, '--out', 'alone', cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    process = restore(tiny_run, *inputs, '--out', 'both', cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert restored_files(tmp_path / 'alone') == restored_files(tmp_path / 'both')


def test_options_may_stand_between_config_and_checkpoint(tiny_run, error_of, tmp_path):
    process = run_tool('restore', CONFIG, '--out', 'out', tiny_run.checkpoint, cwd=tmp_path)
    assert 'there is nothing to restore' in error_of(process)


def test_no_checkpoint_is_the_shipped_network_and_the_tool_says_so(tiny_run, tmp_path, monkeypatch, capsys):
    """In this process, because the package's own network is replaced by a small one."""
    network, clip = ship(monkeypatch, tiny_run.checkpoint, tmp_path), clip_of(tiny_run)
    inputs = ['--blur', str(clip / 'blur'), '--spike', str(clip / 'spike')]
    main = runpy.run_path(str(ROOT / 'tools/restore.py'))['main']
    for name, weights in {'shipped': [], 'named': [str(network)]}.items():
        monkeypatch.setattr('sys.argv', ['restore.py', *weights, *inputs, '--out', str(tmp_path / name)])
        main()
        assert (SUMMARY in capsys.readouterr().out.splitlines()) == (name == 'shipped')
    assert restored_files(tmp_path / 'shipped') == restored_files(tmp_path / 'named')
    assert len(restored_files(tmp_path / 'shipped')) == 5


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([CONFIG], 'is a config without a checkpoint: name both, or neither for the shipped network'),
        (['--cfg-options', 'a=b'], '--cfg-options changes a config: name the config and the checkpoint'),
        (['a.pth', '--cfg-options', 'a=b'], '--cfg-options changes a config: name the config and the checkpoint'),
    ],
)
def test_half_a_network_is_refused(error_of, tmp_path, arguments, message):
    process = run_tool('restore', *arguments, '--blur', 'absent', '--out', 'out', cwd=tmp_path)
    assert message in error_of(process)
