import numpy as np
import pytest
from real_files import real_file
from tool_processes import run_tool

from vrtspike.datasets import read_spike_dat, write_spike_dat

SPIKES = np.random.default_rng(0).integers(0, 2, (30, 16, 24), dtype=np.uint8)


def test_a_folder_is_converted_by_its_description(tmp_path):
    for name in ('train/a', 'val/b'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        (tmp_path / 'data' / name / '0.dat').write_bytes(np.packbits(SPIKES).tobytes())
    (tmp_path / 'data' / 'config.yaml').write_text('{spike_h: 16, spike_w: 24, bit_order: big, flipped: false}')
    process = run_tool('convert_spikes', tmp_path / 'data', tmp_path / 'arrays', '--to', '.npz')
    assert process.returncode == 0, process.stderr
    assert '2 file(s) of 30 steps, 16 x 24 spikes, read back and equal' in process.stdout
    for name in ('train/a', 'val/b'):
        with np.load(tmp_path / 'arrays' / name / '0.npz') as arrays:
            np.testing.assert_array_equal(arrays['spk'], SPIKES)


def test_a_real_recording_becomes_raw_bits_without_its_last_columns(tmp_path):
    recording = real_file('spikezoo/uhsr.npz')
    process = run_tool('convert_spikes', recording, tmp_path / 'x.dat')
    assert process.returncode == 1
    assert '250 x 250 pixels is undefined' in process.stderr
    process = run_tool('convert_spikes', recording, tmp_path / 'x.dat', '--keep-columns', 248)
    assert process.returncode == 0, process.stderr
    assert 'config.yaml needs spike_h: 250 and spike_w: 248' in process.stdout
    with np.load(recording) as arrays:
        np.testing.assert_array_equal(read_spike_dat(tmp_path / 'x.dat', 250, 248), arrays['spk'][..., :248])


def test_a_real_stream_in_the_wrong_order_is_warned_of(tmp_path):
    stream = real_file('spikezoo/200_part1_key_id151.dat')
    process = run_tool('convert_spikes', stream, tmp_path / 'x.npy', '--size', 250, 400, '--bit-order', 'big')
    assert process.returncode == 0, process.stderr
    assert 'neighbouring pixels differ 9.0 times less with bit_order: little' in ' '.join(process.stderr.split())


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['none.npz', 'x.dat'], 'none.npz does not exist'),
        (['.', 'arrays'], 'a folder needs the suffix of its new files'),
        (['x.dat', 'x.npz'], 'x.dat does not contain its size'),
        (['x.dat', 'x.npz', '--size', 16, 25], 'expected a multiple of 50'),
    ],
)
def test_wrong_input_is_one_message(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    write_spike_dat('x.dat', SPIKES)
    process = run_tool('convert_spikes', *arguments)
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert expected in ' '.join(process.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ['x.dat']
