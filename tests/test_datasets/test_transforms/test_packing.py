import numpy as np
import pytest
import torch

from vrtspike.datasets.transforms import PackClip
from vrtspike.errors import ConfigError


def sample(spike_type=np.float32):
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    spikes = np.ones((2, 8, 2, 3), spike_type)
    return {'blur': frames[:, ::-1], 'sharp': frames, 'spikes': spikes, 'rng': None, 'meta': {'name': 'x'}}


def test_frames_become_contiguous_channel_first_tensors():
    packed = PackClip()(sample())
    assert set(packed) == {'blur', 'sharp', 'spikes', 'meta'}
    assert packed['blur'].shape == (2, 3, 4, 6)
    assert packed['blur'].dtype == torch.uint8
    assert packed['blur'].is_contiguous()
    np.testing.assert_array_equal(packed['blur'][1, 2].numpy(), sample()['blur'][1, ..., 2])
    assert packed['spikes'].dtype == torch.float32


def test_raw_spikes_are_refused():
    with pytest.raises(ConfigError, match=r'raw spikes .*BinSpikes'):
        PackClip()(sample(np.uint8))


def test_what_flow_sees_stays_bits():
    packed = PackClip()(sample() | {'flow_spikes': np.ones((2, 25, 2, 3), np.uint8)})
    assert packed['flow_spikes'].dtype == torch.uint8
    assert packed['flow_spikes'].shape == (2, 25, 2, 3)
