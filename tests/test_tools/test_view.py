import cv2
import numpy as np
import pytest
from PIL import Image
from real_files import real_file
from tool_processes import run_tool

from vrtspike.datasets import write_demo, write_spike_dat
from vrtspike.metrics import psnr
from vrtspike.testing.data_sets import write_x4k


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    recipe = {'train_clips': 1, 'val_clips': 2, 'frames': 4, 'size': 32, 'steps_per_frame': 16, 'progress': False}
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **recipe)


def test_a_sheet_has_a_row_per_frame(demo, tmp_path):
    process = run_tool(
        'view', demo / 'val' / '001_coffee', '--out', tmp_path / 'sheet.png', '--first', 1, '--frames', 2
    )
    assert process.returncode == 0, process.stderr
    assert '2 frames of 001_coffee' in process.stdout
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    rows = np.split(sheet, 2)
    blurred = cv2.imread(str(demo / 'val' / '001_coffee' / 'blur' / '00001.png'))
    factor = (sheet.shape[1] - 8) // 5 - 8
    assert factor % 32 == 0
    panel = rows[0][28 : 28 + factor, 8 : 8 + factor][:: factor // 32, :: factor // 32]
    np.testing.assert_array_equal(panel, blurred)


@pytest.mark.parametrize('suffix', ['.gif', '.mp4'])
def test_a_moving_picture_has_every_frame(demo, tmp_path, suffix):
    path = tmp_path / f'moving{suffix}'
    process = run_tool('view', demo, '--split', 'val', '--sequence', '000_chelsea', '--out', path)
    assert process.returncode == 0, process.stderr
    if suffix == '.gif':
        with Image.open(path) as image:
            assert image.n_frames == 4
    else:
        video = cv2.VideoCapture(str(path))
        assert sum(1 for _ in iter(lambda: video.read()[0], False)) == 4


def test_any_layout_and_a_bare_file_can_be_looked_at(tmp_path):
    root = write_x4k(tmp_path / 'x4k', frames=2)
    assert run_tool('view', root, '--out', tmp_path / 'x4k.png').returncode == 0
    write_spike_dat(tmp_path / 'bare.dat', np.random.default_rng(0).integers(0, 2, (30, 16, 24)).astype(np.uint8))
    process = run_tool(
        'view', tmp_path / 'bare.dat', '--size', 16, 24, '--steps-per-frame', 10, '--out', tmp_path / 'bare.png'
    )
    assert process.returncode == 0, process.stderr
    assert '3 frames of bare' in process.stdout


@pytest.mark.parametrize(
    ('name', 'steps', 'expected_db'), [('part1', 41, 31.6), ('part3', 41, 28.9), ('part1', 21, 29.1)]
)
def test_playback_of_spikes_from_encoded_values_looks_like_their_frame(tmp_path, name, steps, expected_db):
    recording = real_file(f'spikezoo/200_{name}_key_id151.dat')
    described = ['--size', 250, 400, '--threshold', 1 / 0.6, '--light', 'encoded']
    middle = ['--first-step', 150 - steps // 2, '--steps-per-frame', steps, '--frames', 1]
    process = run_tool('view', recording, *described, *middle, '--out', tmp_path / 'sheet.png')
    assert process.returncode == 0, process.stderr
    shown = cv2.imread(str(tmp_path / 'sheet.png'), cv2.IMREAD_GRAYSCALE)[28 : 28 + 250, 8 : 8 + 400]
    frame = cv2.imread(str(real_file(f'spikezoo/200_{name}_key_id151.png')), cv2.IMREAD_GRAYSCALE)
    assert psnr(shown, frame) == pytest.approx(expected_db, abs=0.05)


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--out', 'x.png', '--sequence', '000_astronaut_'], "did you mean '000_astronaut'"),
        (['--out', 'x.png', '--first', 9], 'chooses none'),
    ],
)
def test_wrong_input_is_one_message(demo, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    process = run_tool('view', demo, *arguments)
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert expected in process.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_array_knows_its_size_and_loses_its_head(tmp_path):
    np.savez(tmp_path / 'bare.npz', spk=np.random.default_rng(0).integers(0, 2, (30, 15, 26)).astype(np.uint8))
    arguments = ['--steps-per-frame', 10, '--keep-columns', 25, '--out', tmp_path / 'bare.png']
    process = run_tool('view', tmp_path / 'bare.npz', *arguments)
    assert process.returncode == 0, process.stderr
    assert '3 frames of bare' in process.stdout
    process = run_tool('view', tmp_path / 'bare.npz', *arguments, '--keep-columns', 27)
    assert 'keep_columns=27, expected 1 to the 26 columns' in ' '.join(process.stderr.split())


def test_a_bare_file_needs_its_size(tmp_path):
    (tmp_path / 'x.dat').write_bytes(bytes(8))
    process = run_tool('view', tmp_path / 'x.dat', '--out', tmp_path / 'x.png')
    assert 'does not contain its size' in ' '.join(process.stderr.split())
