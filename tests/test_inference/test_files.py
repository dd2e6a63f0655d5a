import itertools
import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.datasets import write_spike_dat
from vrtspike.datasets.color import encode_srgb
from vrtspike.datasets.io.video import open_frames
from vrtspike.errors import DataError
from vrtspike.inference import Tiling, files
from vrtspike.inference.files import open_clip, restore_files
from vrtspike.inference.loading import load_restorer
from vrtspike.inference.outputs import FrameFolder
from vrtspike.inference.spike_files import SpikeFileOptions
from vrtspike.models import SpikeRestorer
from vrtspike.runtime.atomic_write import write_png

TILING = Tiling((3, 0, 0), (1, 0, 0))
SIZE = (12, 16)


@pytest.fixture(scope='module')
def loaded(checkpoint):
    return load_restorer(checkpoint, device='cpu')


@pytest.fixture
def on_disk(clip, tmp_path):
    """The clip of :func:`conftest.make_clip` as files."""
    for i, (image, spikes) in enumerate(zip(*clip, strict=True)):
        write_png(tmp_path / 'blur' / f'{i:03d}.png', image)
        (tmp_path / 'spike').mkdir(exist_ok=True)
        write_spike_dat(tmp_path / 'spike' / f'{i:03d}.dat', spikes)
    return open_clip(tmp_path / 'blur', tmp_path / 'spike', SpikeFileOptions(SIZE, 1.0))


def read(folder):
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.glob('*.png'))}


def test_a_folder_of_frames_named_like_the_input(loaded, on_disk, checkpoint, tmp_path):
    written = restore_files(*loaded, on_disk, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING)
    images = read(written)
    assert list(images) == [f'{i:03d}.png' for i in range(5)]
    assert {image.shape for image in images.values()} == {(24, 32, 3)}


class Killed(BaseException):
    """A process that ends without a chance to clean up."""


@pytest.mark.parametrize('frames_written', [0, 1, 2, 4])
def test_a_killed_run_goes_on_to_the_same_frames(loaded, on_disk, checkpoint, tmp_path, monkeypatch, frames_written):
    arguments = dict(checkpoint=checkpoint, tiling=TILING)
    whole = read(restore_files(*loaded, on_disk, tmp_path / 'whole', **arguments))
    written, count = FrameFolder.write, itertools.count()

    def write(self, first, images):
        for i, image in enumerate(images):
            if next(count) == frames_written:
                raise Killed
            written(self, first + i, [image])

    monkeypatch.setattr(FrameFolder, 'write', write)
    with pytest.raises(Killed):
        restore_files(*loaded, on_disk, tmp_path / 'out', **arguments)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*.png')}
    assert len(before) == frames_written
    again = read(restore_files(*loaded, on_disk, tmp_path / 'out', **arguments))
    assert list(again) == list(whole)
    assert all(np.array_equal(again[name], whole[name]) for name in whole)
    assert before == {path: path.stat().st_mtime_ns for path in before}  # not restored twice


def test_steps_outside_of_the_exposures_change_nothing(loaded, on_disk, clip, checkpoint, tmp_path):
    arguments = dict(checkpoint=checkpoint, tiling=TILING)
    whole = read(restore_files(*loaded, on_disk, tmp_path / 'whole', **arguments))
    for i, spikes in enumerate(clip[1]):
        (tmp_path / 'longer').mkdir(exist_ok=True)
        write_spike_dat(
            tmp_path / 'longer' / f'{i:03d}.dat', np.pad(spikes, [(3, 3), (0, 0), (0, 0)], constant_values=1)
        )
    options = SpikeFileOptions(SIZE, 1.0, exposure_steps=clip[1].shape[1])
    longer = open_clip(tmp_path / 'blur', tmp_path / 'longer', options)
    again = read(restore_files(*loaded, longer, tmp_path / 'again', **arguments))
    assert all(np.array_equal(again[name], whole[name]) for name in whole)
    other = open_clip(tmp_path / 'blur', tmp_path / 'longer', SpikeFileOptions(SIZE, 1.0))
    with pytest.raises(DataError, match='made from other inputs'):
        restore_files(*loaded, other, tmp_path / 'again', **arguments)


def test_what_was_made_otherwise_is_not_continued(loaded, on_disk, checkpoint, tmp_path):
    restore_files(*loaded, on_disk, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING)
    with pytest.raises(DataError, match=r'made from other inputs \(tiling: .* now\): delete it'):
        restore_files(*loaded, on_disk, tmp_path / 'out', checkpoint=checkpoint, tiling=Tiling())
    with pytest.raises(DataError, match='contains other files'):
        restore_files(*loaded, on_disk, tmp_path / 'blur', checkpoint=checkpoint, tiling=TILING)


def test_a_video_of_strips(loaded, on_disk, checkpoint, tmp_path):
    path = restore_files(
        *loaded, on_disk, tmp_path / 'out.avi', checkpoint=checkpoint, tiling=TILING, side_by_side=True, fps=10
    )
    video = open_frames(path)
    assert (video.fps, len(video)) == (10, 5)
    assert video.size[1] > 3 * 32
    assert [entry.name for entry in tmp_path.iterdir() if 'out' in entry.name] == ['out.avi']
    with pytest.raises(DataError, match=r'out\.avi exists'):
        restore_files(*loaded, on_disk, path, checkpoint=checkpoint, tiling=TILING)


def test_the_strip_shows_the_blurred_frame_first(loaded, on_disk, checkpoint, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(files, 'clip_strip', lambda panels: seen.append(panels) or panels[0][1])
    out = restore_files(*loaded, on_disk, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING, side_by_side=True)
    assert [name for name, _ in seen[0]] == ['blurred', 'TFP', 'restored']
    for i, image in enumerate(read(out).values()):
        assert np.array_equal(image[..., ::-1], on_disk.frames.read(i, i + 1)[0])


def test_a_clip_without_spikes(published, on_disk, tmp_path, monkeypatch):
    panels = []
    monkeypatch.setattr(files, 'clip_strip', lambda row: panels.append([name for name, _ in row]) or row[0][1])
    checkpoint, config = published
    clip = open_clip(tmp_path / 'blur', None)
    model, config = load_restorer(checkpoint, load_config(config), device='cpu')
    arguments = dict(checkpoint=checkpoint, tiling=TILING, side_by_side=True)
    for _ in range(2):  # the second run has nothing left to do
        images = read(restore_files(model, config, clip, tmp_path / 'out', **arguments))
    assert len(images) == 5
    assert panels == [['blurred', 'restored']] * 5


def test_a_clip_without_spikes_is_refused_by_a_network_that_fuses_them(loaded, on_disk, checkpoint, tmp_path):
    clip = open_clip(tmp_path / 'blur', None)
    with pytest.raises(DataError, match=r'needs spikes, and the clip has none: give them, with --spike or spikes='):
        restore_files(*loaded, clip, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING)
    assert not (tmp_path / 'out').exists()


def test_a_video_that_could_not_be_written_is_completed_by_the_same_command(loaded, on_disk, checkpoint, tmp_path):
    arguments = dict(checkpoint=checkpoint, tiling=TILING)
    with pytest.raises(DataError, match='run the same command again to write the video'):
        restore_files(*loaded, on_disk, tmp_path / 'out.mp4', **arguments, fps=1e6)
    frames = tmp_path / '.out.mp4.frames'
    times = {path: path.stat().st_mtime_ns for path in frames.glob('*.png')}
    assert len(times) == 5
    (frames / '004.png').write_bytes(b'half')
    with pytest.raises(DataError, match=r'004\.png is damaged'):
        restore_files(*loaded, on_disk, tmp_path / 'out.mp4', **arguments)
    (frames / '004.png').unlink()
    assert len(open_frames(restore_files(*loaded, on_disk, tmp_path / 'out.mp4', **arguments))) == 5
    assert not frames.exists()


def test_sizes_that_do_not_belong_together_are_refused(on_disk, tmp_path):
    with pytest.raises(DataError, match='aspect ratios differ'):
        open_clip(tmp_path / 'blur', tmp_path / 'spike', SpikeFileOptions((24, 8), 1.0))


def test_a_run_with_a_fitted_tile_resumes_with_the_same_tile(loaded, on_disk, checkpoint, tmp_path, monkeypatch):
    fitted = iter([TILING, Tiling()])
    monkeypatch.setattr(files, 'fit_tiling', lambda model, read, tiling, length: next(fitted))
    arguments = dict(checkpoint=checkpoint, tiling=Tiling(), fit=True)
    whole = read(restore_files(*loaded, on_disk, tmp_path / 'out', **arguments))
    (tmp_path / 'out' / '004.png').unlink()
    again = read(restore_files(*loaded, on_disk, tmp_path / 'out', **arguments))
    assert all(np.array_equal(again[name], whole[name]) for name in whole)
    inputs = json.loads((tmp_path / 'out/restore.json').read_text())
    assert inputs['tiling']['tile'] == [3, 0, 0]
    assert inputs['frame_size'] == [24, 32]


@pytest.fixture
def alone(on_disk, tmp_path):
    """A network that restores from spikes alone, and the clip without its frames."""
    pipeline = [dict(type='SpikesAlone'), dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))]
    config = Config(dict(model={}, val_dataloader=dict(dataset=dict(clip_len=3, pipeline=pipeline))))
    clip = open_clip(None, on_disk.spikes.path, SpikeFileOptions(SIZE, 1.0))
    return SpikeRestorer(dict(type='VRTLite'), start='spikes'), config, clip


def test_spikes_alone_are_restored_as_grey_frames(alone, clip, checkpoint, tmp_path):
    images = read(restore_files(*alone, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING))
    assert list(images) == [f'{i:03d}.png' for i in range(5)]
    for image, spikes in zip(images.values(), clip[1], strict=True):  # an untrained network returns the estimate
        assert np.abs(image - 255 * encode_srgb(spikes.mean(0))[..., None]).max() <= 1


def test_spikes_alone_are_refused_by_a_network_that_restores_frames(loaded, alone, checkpoint, tmp_path):
    with pytest.raises(DataError, match='give --blur'):
        restore_files(*loaded, alone[-1], tmp_path / 'out', checkpoint=checkpoint, tiling=TILING)
    frames = open_clip(tmp_path / 'blur', None)
    with pytest.raises(DataError, match='needs spikes'):
        restore_files(*alone[:2], frames, tmp_path / 'out', checkpoint=checkpoint, tiling=TILING)
    with pytest.raises(DataError, match='nothing to restore'):
        open_clip(None, None)
    with pytest.raises(DataError, match='--steps-per-frame 4 with --blur'):
        open_clip(tmp_path / 'blur', None, SpikeFileOptions(steps_per_frame=4))
    with pytest.raises(DataError, match='--exposure-steps 4 without --spike'):
        open_clip(tmp_path / 'blur', None, SpikeFileOptions(exposure_steps=4))
