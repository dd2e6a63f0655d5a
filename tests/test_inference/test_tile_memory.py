import math

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.inference import Tiling
from vrtspike.inference import tile_memory as memory
from vrtspike.inference.tile_memory import largest_tile, tile_sides
from vrtspike.ops import measure_backends

BYTES_PER_PIXEL = 1000


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets the free bytes; networks seem to need ``BYTES_PER_PIXEL`` and a fixed amount."""
    monkeypatch.setattr(memory, 'reset_peak_memory', lambda device: None)
    monkeypatch.setattr(memory, 'used_memory', lambda device: 0)
    used = {}

    def network(blur, spikes):
        used['peak'] = 10**6 + BYTES_PER_PIXEL * blur.shape[0] * blur.shape[-1] * blur.shape[-2]
        return blur

    monkeypatch.setattr(memory, 'peak_memory', lambda device: used['peak'])

    def fit(free, size=(360, 640), **tiling):
        monkeypatch.setattr(memory, 'free_memory', lambda device: free)
        blur, spikes = torch.zeros(1, 2, 3, *size), torch.zeros(1, 2, 4, *(side // 2 for side in size))
        return largest_tile(network, blur, spikes, Tiling((2, 0, 0), **tiling), overlap=32, divisor=8)

    return fit


@pytest.mark.parametrize('tiles_per_batch', [1, 3])
def test_the_largest_tile_that_fits(machine, tiles_per_batch):
    free = 10**8
    tiling = machine(free, tiles_per_batch=tiles_per_batch)
    _, height, width = tiling.tile
    need = 10**6 + BYTES_PER_PIXEL * tiles_per_batch * height * width
    assert need <= memory.SHARE * free
    assert need > 0.8 * memory.SHARE * free
    assert height % 8 == width % 8 == 0
    assert (tiling.overlap, tiling.tiles_per_batch) == ((0, 32, 32), tiles_per_batch)


def test_all_of_a_frame_that_fits(machine):
    assert machine(10**12).tile == (2, 360, 640)
    assert machine(10**12, size=(64, 64)).tile == (2, 0, 0)


def test_what_trials_of_backends_take_is_no_part_of_the_peak(machine, monkeypatch):
    runs = []
    monkeypatch.setattr(memory, 'restore_frames', lambda *_, **__: runs.append('run'))
    monkeypatch.setattr(memory, 'reset_peak_memory', lambda device: runs.append('reset'))
    monkeypatch.setattr(memory, 'peak_memory', lambda device: 10**6)
    machine(10**9)
    with measure_backends(True):
        machine(10**9)
    assert runs == ['reset', 'run'] * 2 + ['run', 'reset', 'run'] * 2


def test_too_little_memory_is_an_error(machine):
    with pytest.raises(ConfigError, match=r'a tile of 64 x 64 pixels needs 5 MiB, but 2 MiB are free'):
        machine(2 * 2**20)


@pytest.mark.parametrize('pixels', [5000, 60_000, 200_000])
def test_sides_stay_within_the_frame_and_the_pixels(pixels):
    height, width = tile_sides(pixels, (360, 640), 8)
    assert height * width <= pixels
    assert height <= 360
    assert width <= 640
    assert height * width > pixels - 8 * 2 * math.sqrt(640 * 640)


def test_a_system_without_peaks_is_told_to_name_a_tile(machine, monkeypatch):
    def refuse(device):
        raise OSError('no /proc here')

    monkeypatch.setattr(memory, 'reset_peak_memory', refuse)
    with pytest.raises(ConfigError, match='such as --tile 256'):
        machine(10**8)
