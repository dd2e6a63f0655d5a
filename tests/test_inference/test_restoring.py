import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

import vrtspike
from vrtspike.datasets.instants import ExposureSpikes
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import DataError
from vrtspike.inference import Tiling
from vrtspike.inference.raw_clip import RawClip
from vrtspike.inference.restoring import input_pipeline, restored_frames, tiling_of
from vrtspike.metrics import to_uint8_frames
from vrtspike.models import SpikeRestorer


def test_restore_is_the_network_on_its_own_inputs(checkpoint, network, clip):
    frames, spikes = clip
    restored = vrtspike.restore(frames, spikes, checkpoint, tiling=Tiling(), threshold=2.0, device='cpu')
    assert restored.dtype == np.uint8
    assert restored.shape == frames.shape
    rates = torch.from_numpy(spikes.reshape(5, 4, 2, 12, 16).mean(axis=2, dtype=np.float32) * 2)
    blur = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = to_uint8_frames(network(blur[None], rates[None])[0])
    assert np.abs(restored.astype(int) - expected).max() <= 1
    assert (restored != frames).mean() > 0.1


def test_sizes_off_the_grid_of_the_network_come_back(checkpoint, clip):
    frames, spikes = (array[:2] for array in clip)
    restored = vrtspike.restore(frames[:, :18, :26], spikes[..., :9, :13], checkpoint)
    assert restored.shape == (2, 18, 26, 3)


def test_clips_are_cut_in_time_as_in_training(checkpoint, clip):
    frames, spikes = clip
    cut = vrtspike.restore(frames, spikes, checkpoint)
    same = vrtspike.restore(frames, spikes, checkpoint, tiling=Tiling((2, 0, 0), (1, 0, 0)))
    assert np.array_equal(cut, same)


def test_an_untrained_network_that_starts_from_the_estimate_returns_it(clip):
    frames, spikes = clip
    pipeline = [dict(type='AddSDM'), dict(type='BinSpikes'), dict(type='PackClip')]
    prepare = input_pipeline(Config(dict(val_dataloader=dict(dataset=dict(pipeline=pipeline)))))
    model = SpikeRestorer(backbone=dict(type='VRTLite'), start='sdm').eval()

    def read(start, stop):
        return prepare(RawClip(frames[start:stop], 'clip', '0', ExposureSpikes(spikes[start:stop]), threshold=1.0))

    restored = np.concatenate(list(restored_frames(model, read, len(frames), Tiling((2, 0, 0), (1, 0, 0)))))
    estimates = np.stack([sdm(*each) for each in zip(frames, spikes, strict=True)])
    np.testing.assert_array_equal(restored, estimates)
    assert (estimates != frames).any()


def test_published_weights_restore_without_spikes(published, network, clip):
    checkpoint, config = published
    frames = clip[0][:2]
    restored = vrtspike.restore(frames, None, checkpoint, config=config, tiling=Tiling(), device='cpu')
    with torch.no_grad():
        expected = to_uint8_frames(network.backbone(torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 255)[0])
    assert np.abs(restored.astype(int) - expected).max() <= 1


def test_a_network_that_fuses_spikes_asks_for_them(checkpoint, clip):
    with pytest.raises(DataError, match='needs spikes, and the clip has none'):
        vrtspike.restore(clip[0], None, checkpoint)


def one_spike_of_255(frames, spikes):
    spikes = spikes.copy()
    spikes[-1, 0, 0, 0] = 255
    return frames, spikes


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (one_spike_of_255, 'up to 255, expected 0 and 1'),
        (lambda f, s: (f.astype(np.float32), s), 'float32'),
        (lambda f, s: (f[..., :1], s), r'\(T, H, W, 3\)'),
        (lambda f, s: (f, s[:3]), r'expected \(5, steps, Hs, Ws\)'),
        (lambda f, s: (f, s * 2), 'up to 2, expected 0 and 1'),
        (lambda f, s: (f, np.concatenate([s[:1] * 0, s[1:] * 255])), 'up to 255, expected 0 and 1'),
        (lambda f, s: (f, s[..., :9]), 'aspect ratios differ'),
    ],
)
def test_wrong_input_is_explained(checkpoint, clip, change, message):
    with pytest.raises(DataError, match=message):
        vrtspike.restore(*change(*clip), checkpoint)


def config(tiling=None, clip_len=5):
    model = {'tiling': tiling} if tiling else {}
    return Config(dict(model=model, val_dataloader=dict(dataset=dict(clip_len=clip_len))))


@pytest.mark.parametrize(
    ('tiling', 'changes', 'tile', 'overlap'),
    [
        (None, {}, (5, 0, 0), (2, 0, 0)),
        (None, dict(tile=(64, 96)), (5, 64, 96), (2, 32, 32)),
        (None, dict(frames=8, frame_overlap=3), (8, 0, 0), (3, 0, 0)),
        (None, dict(frames=1), (1, 0, 0), (0, 0, 0)),
        (dict(tile=[7, 128, 128], overlap=[1, 16, 16]), {}, (7, 128, 128), (1, 16, 16)),
        (dict(tile=[7, 128, 128], overlap=[1, 16, 16]), dict(overlap=(8, 8)), (7, 128, 128), (1, 8, 8)),
    ],
)
def test_tiling_of_a_config_with_changes(tiling, changes, tile, overlap):
    found = tiling_of(config(tiling), **changes)
    assert (found.tile, found.overlap) == (tile, overlap)


def test_the_package_imports_without_torch():
    code = "import sys, vrtspike; assert 'torch' not in sys.modules; vrtspike.restore; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)
