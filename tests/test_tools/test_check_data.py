import shutil

import cv2
import pytest
from tool_processes import run_tool

from vrtspike.testing.data_sets import write_gopro, write_rgb


@pytest.fixture(scope='module')
def gopro(tmp_path_factory):
    return write_gopro(tmp_path_factory.mktemp('gopro'))


def cells(process, split):
    """Return a split's row of the table."""
    return next(line.split() for line in process.stdout.splitlines() if line.split()[:1] == [split])


def test_a_sound_data_set_is_summed_up_and_pictured(gopro, tmp_path):
    sheet = tmp_path / 'sheet.png'
    process = run_tool('check_data', gopro, '--options', 'spike_size=[32,32]', '--thorough', '--thumbnails', sheet)
    assert process.returncode == 0, process.stderr
    assert f'{gopro} as GoProSpike' in process.stdout
    row = cells(process, 'train')
    assert row[:4] == ['train', '2', '12', '4']
    assert row[4:11] == ['64', 'x', '64', '32', 'x', '32', '56']
    assert row[12] == 'linear'
    assert float(row[13]) == pytest.approx(1, abs=0.05)
    assert 'No problems in its files' in process.stdout
    # Three videos below each other, five panels each.
    height, width, _ = cv2.imread(str(sheet)).shape
    assert height % 3 == 0
    assert width > 5 * 64


def test_clips_without_spikes_have_no_spike_columns(tmp_path):
    process = run_tool('check_data', write_rgb(tmp_path / 'rgb'), '--thumbnails', tmp_path / 'rgb.jpg')
    assert process.returncode == 0, process.stderr
    assert cells(process, 'val')[-6:] == ['-'] * 6
    assert (tmp_path / 'rgb.jpg').is_file()


def test_everything_that_is_wrong_is_listed(gopro, tmp_path):
    copy = shutil.copytree(gopro, tmp_path / 'copy')
    (copy / 'GOPRO_Large' / 'train' / 'GOPR0372_07_00' / 'sharp' / '000002.png').unlink()
    (copy / 'GOPRO_Large_spike_seq' / 'test' / 'GOPR0384_11_00' / 'spike' / '000001.dat').write_bytes(b'short')
    process = run_tool('check_data', copy, '--options', 'spike_size=[32,32]')
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert '  - train: ' in process.stderr
    assert '000002.png is missing' in process.stderr
    assert '  - val: ' in process.stderr
    assert '000001.dat has 5 bytes' in process.stderr
    assert cells(process, 'train')[:3] == ['train', '2', '12']


def test_only_a_thorough_check_reads_every_frame(gopro, tmp_path):
    copy = shutil.copytree(gopro, tmp_path / 'copy')
    (copy / 'GOPRO_Large' / 'train' / 'GOPR0374_11_01' / 'sharp' / '000005.png').write_bytes(b'no image')
    assert run_tool('check_data', copy, '--options', 'spike_size=[32,32]').returncode == 0
    process = run_tool('check_data', copy, '--options', 'spike_size=[32,32]', '--thorough')
    assert process.returncode == 1
    assert '000005.png is damaged' in process.stderr


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['.'], 'has no known layout'),
        (['.', '--options', 'type=RGBClips', 'steps=3'], 'steps'),
    ],
)
def test_wrong_input_is_one_message(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    process = run_tool('check_data', *arguments)
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert expected in process.stderr
