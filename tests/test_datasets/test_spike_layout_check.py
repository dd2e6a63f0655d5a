from dataclasses import replace

import cv2
import numpy as np
import pytest
from real_files import real_file

from vrtspike.datasets import ClipDataset, IntegrateAndFire, Sequence, write_spike_dat
from vrtspike.datasets.color import decode_srgb, encode_srgb, luminance
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.simulation.photographs import load_photograph
from vrtspike.datasets.spike_dat import read_spike_dat
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.datasets.spike_layout_check import bit_order_problem, fitting_sensor, layout_problems

SIZE = (32, 64)


def photograph():
    """A photograph (64, 128, 3) uint8, and 56 steps of its spikes."""
    encoded = encode_srgb(cv2.resize(load_photograph('coffee.png'), (128, 64), interpolation=cv2.INTER_AREA))
    seen = cv2.resize(luminance(decode_srgb(encoded)), SIZE[::-1], interpolation=cv2.INTER_AREA)
    spikes = IntegrateAndFire(*SIZE, 1.0, np.random.default_rng(0)).run(np.broadcast_to(seen, (56, *SIZE)))
    return np.rint(encoded * 255).astype(np.uint8), spikes


@pytest.fixture(params=[('little', True), ('big', True), ('little', False), ('big', False)])
def stored(request, tmp_path):
    """A sequence whose spikes are stored in some order, described correctly."""
    bit_order, flipped = request.param
    frame, spikes = photograph()
    for kind in ('blur', 'spike'):
        (tmp_path / kind).mkdir()
    write_image(tmp_path / 'blur' / '0.png', frame)
    rows = spikes[:, :: -1 if flipped else 1]
    (tmp_path / 'spike' / '0.dat').write_bytes(np.packbits(rows, bitorder=bit_order).tobytes())
    described = {'spike_size': SIZE, 'threshold': 1.0, 'layout': SpikeLayout(bit_order, flipped)}
    return Sequence('video', tmp_path / 'blur', None, tmp_path / 'spike', np.array(['0']), **described)


class Source:
    def __init__(self, sequence):
        self.sequence = sequence

    def sequences(self, split):
        return [self.sequence] if split == 'train' else []


def test_spikes_are_read_as_described(stored):
    assert layout_problems(stored) == []
    spikes = np.asarray(ClipDataset(Source(stored), 'train', clip_len=1)[0]['spikes'])
    np.testing.assert_array_equal(spikes[0], photograph()[1])


def test_the_wrong_order_of_bits_is_found(stored):
    right = stored.layout.bit_order
    wrong = 'big' if right == 'little' else 'little'
    (problem,) = layout_problems(replace(stored, layout=replace(stored.layout, bit_order=wrong)))
    assert f'is read with bit_order: {wrong}, but neighbouring pixels differ' in problem
    assert f'--bit-order {right}' in problem


def test_rows_in_the_wrong_order_are_found(stored):
    flipped = stored.layout.flipped
    (problem,) = layout_problems(replace(stored, layout=replace(stored.layout, flipped=not flipped)))
    assert f'is read with flipped: {str(not flipped).lower()}, but its spikes show the frame upside down' in problem
    assert f'State flipped: {str(flipped).lower()}' in problem


def test_noise_tells_no_order(tmp_path):
    noise = np.random.default_rng(0).integers(0, 2, (56, 32, 64), dtype=np.uint8)
    write_spike_dat(tmp_path / 'x.dat', noise)
    for bit_order in ('little', 'big'):
        assert bit_order_problem(tmp_path / 'x.dat', SIZE, SpikeLayout(bit_order)) is None


@pytest.mark.parametrize('name', ['part1', 'part3'])
def test_real_streams_tell_their_order_and_size(tmp_path, name):
    path = real_file(f'spikezoo/200_{name}_key_id151.dat')
    assert bit_order_problem(path, (250, 400), SpikeLayout()) is None
    assert 'with bit_order: little. State it' in bit_order_problem(path, (250, 400), SpikeLayout('big'))
    assert fitting_sensor(path).endswith('fit --size 250 400 (restore.py: --spike-size)')
    spikes = read_spike_dat(path, 250, 400, steps=64)
    head = np.random.default_rng(0).integers(0, 2, (64, 250, 16), dtype=np.uint8)
    write_spike_dat(tmp_path / 'head.dat', np.concatenate([spikes, head], axis=2))
    found = fitting_sensor(tmp_path / 'head.dat')
    assert found.endswith('fit --size 250 416 --keep-columns 400 (restore.py: --spike-size)')


def test_a_length_of_no_known_sensor_asks_for_the_size(tmp_path):
    write_spike_dat(tmp_path / 'x.dat', np.zeros((3, 8, 8), np.uint8))
    found = fitting_sensor(tmp_path / 'x.dat')
    assert found == ': give its height and width, as in --size 250 400 (restore.py: --spike-size)'
