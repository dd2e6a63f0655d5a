"""Restoring several instants of every exposure, from arrays and from files."""

import itertools

import cv2
import numpy as np
import pytest

import vrtspike
from tests.test_inference.conftest import make_clip
from vrtspike.datasets import write_spike_dat
from vrtspike.datasets.instants import windows_of_stream
from vrtspike.errors import ConfigError, DataError
from vrtspike.inference import Tiling
from vrtspike.inference.files import even_instants, open_clip, restore_files
from vrtspike.inference.loading import load_restorer
from vrtspike.inference.outputs import FrameFolder
from vrtspike.inference.spike_files import SpikeFileOptions, SpikeFiles
from vrtspike.models.layers.flow import FlowLevel
from vrtspike.runtime.atomic_write import write_png

TILING = Tiling((3, 0, 0), (1, 0, 0))
INSTANTS = (0.125, 0.5, 1.0)


@pytest.fixture(scope='module')
def loaded(checkpoint):
    return load_restorer(checkpoint, device='cpu')


@pytest.fixture
def on_disk(clip, tmp_path):
    """A clip with all its spikes in one file: exposures follow each other."""
    for i, image in enumerate(clip[0]):
        write_png(tmp_path / 'blur' / f'{i:03d}.png', image)
    write_spike_dat(tmp_path / 'spikes.dat', clip[1].reshape(-1, *clip[1].shape[2:]))
    return open_clip(tmp_path / 'blur', tmp_path / 'spikes.dat', SpikeFileOptions((12, 16), 1.0))


def read(folder):
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.glob('*.png'))}


def test_each_instant_is_what_it_is_alone_and_the_middle_is_the_default(clip, checkpoint):
    together = vrtspike.restore(*clip, checkpoint, tiling=TILING, instants=INSTANTS, device='cpu')
    assert together.shape == (5, 3, 24, 32, 3)
    for i, instant in enumerate(INSTANTS):
        alone = vrtspike.restore(*clip, checkpoint, tiling=TILING, instants=[instant], device='cpu')
        np.testing.assert_array_equal(alone[:, 0], together[:, i])
    np.testing.assert_array_equal(together[:, 1], vrtspike.restore(*clip, checkpoint, tiling=TILING, device='cpu'))
    assert (together[:, 0] != together[:, 1]).any()
    with pytest.raises(ConfigError, match='expected different numbers from 0'):
        vrtspike.restore(*clip, checkpoint, instants=[2])


def test_files_are_read_once_and_flow_is_computed_once(loaded, on_disk, checkpoint, tmp_path, monkeypatch):
    model, config = loaded
    reads, flows = [], []
    monkeypatch.setattr(type(on_disk.frames), 'read', counted(type(on_disk.frames).read, reads))
    monkeypatch.setattr(SpikeFiles, 'read', counted(SpikeFiles.read, reads))
    hooks = [
        each.register_forward_hook(lambda *_: flows.append(1))
        for each in model.modules()
        if isinstance(each, FlowLevel)
    ]
    counts = []
    for instants in (None, even_instants(4)):
        out = tmp_path / f'{instants is None}'
        restore_files(model, config, on_disk, out, checkpoint=checkpoint, tiling=TILING, instants=instants)
        counts.append((len(reads), len(flows)))
        reads.clear()
        flows.clear()
    for hook in hooks:
        hook.remove()
    assert counts[0] == counts[1]
    assert counts[0][1] > 0


def counted(function, calls):
    return lambda *args: calls.append(args[1:]) or function(*args)


def test_images_are_named_by_frame_and_instant(loaded, on_disk, checkpoint, tmp_path):
    written = restore_files(
        *loaded, on_disk, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING, instants=even_instants(4)
    )
    names = list(read(written))
    instants = ['0.1250', '0.3750', '0.6250', '0.8750']
    assert names == [f'{i:03d}@{instant}.png' for i in range(5) for instant in instants]


def test_a_killed_run_goes_on_to_the_same_images(loaded, on_disk, checkpoint, tmp_path, monkeypatch):
    arguments = dict(checkpoint=checkpoint, tiling=TILING, instants=INSTANTS)
    whole = read(restore_files(*loaded, on_disk, tmp_path / 'whole', **arguments))
    written, count = FrameFolder.write, itertools.count()

    def write(self, first, images):
        for i, image in enumerate(images):
            if next(count) == 5:
                raise KeyboardInterrupt
            written(self, first + i, [image])

    monkeypatch.setattr(FrameFolder, 'write', write)
    with pytest.raises(KeyboardInterrupt):
        restore_files(*loaded, on_disk, tmp_path / 'out', **arguments)
    monkeypatch.undo()
    again = read(restore_files(*loaded, on_disk, tmp_path / 'out', **arguments))
    assert list(again) == list(whole)
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


def test_a_video_has_that_many_times_the_frame_rate(loaded, on_disk, checkpoint, tmp_path):
    arguments = dict(checkpoint=checkpoint, tiling=TILING, instants=even_instants(3), fps=None)
    path = restore_files(*loaded, on_disk, tmp_path / 'out.avi', **arguments)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(75)


def test_spikes_beside_an_exposure_come_from_the_stream(on_disk, clip):
    stream = clip[1].reshape(-1, 12, 16)
    around = on_disk.spikes.read_around(1, 3, 4)
    np.testing.assert_array_equal(around.spikes[0], stream[4:20])
    np.testing.assert_array_equal(around.spikes[1], stream[12:28])
    assert around.known.all()
    first = on_disk.spikes.read_around(0, 1, 4)
    assert first.known.tolist() == [[False] * 4 + [True] * 12]
    assert not first.spikes[0, :4].any()
    assert windows_of_stream(stream, 0, 5, 8, 0).known.all()


def test_a_stated_interval_makes_another_clip(loaded, clip, checkpoint, tmp_path):
    for i, (image, spikes) in enumerate(zip(*clip, strict=True)):
        write_png(tmp_path / 'blur' / f'{i:03d}.png', image)
        (tmp_path / 'spike').mkdir(exist_ok=True)
        write_spike_dat(tmp_path / 'spike' / f'{i:03d}.dat', spikes)
    arguments = dict(checkpoint=checkpoint, tiling=TILING, instants=(0.25,))
    unknown = open_clip(tmp_path / 'blur', tmp_path / 'spike', SpikeFileOptions((12, 16), 1.0))
    with pytest.warns(UserWarning, match='write interval: 8 beside spike_h'):
        before = read(restore_files(*loaded, unknown, tmp_path / 'out', **arguments))
    (tmp_path / 'config.yaml').write_text('spike_h: 12\nspike_w: 16\nthreshold: 1.0\ninterval: 8\n')
    stated = open_clip(tmp_path / 'blur', tmp_path / 'spike')
    with pytest.raises(DataError, match='made from other inputs'):
        restore_files(*loaded, stated, tmp_path / 'out', **arguments)
    after = read(restore_files(*loaded, stated, tmp_path / 'stated', **arguments))
    assert not all(np.array_equal(before[name], after[name]) for name in before)


def test_files_without_a_stated_interval_have_unknown_steps_beside_them(tmp_path):
    spikes = make_clip()[1]
    for i, each in enumerate(spikes):
        (tmp_path / 'spike').mkdir(exist_ok=True)
        write_spike_dat(tmp_path / 'spike' / f'{i}.dat', each)
    files = SpikeFiles(tmp_path / 'spike', 5, options=SpikeFileOptions((12, 16), 1.0))
    assert files.read_around(1, 2, 4).known.tolist() == [[False] * 4 + [True] * 8 + [False] * 4]
    (tmp_path / 'config.yaml').write_text('spike_h: 12\nspike_w: 16\nthreshold: 1.0\ninterval: 8\n')
    stated = SpikeFiles(tmp_path / 'spike', 5)
    np.testing.assert_array_equal(stated.read_around(1, 2, 4).spikes[0], spikes.reshape(-1, 12, 16)[4:20])
