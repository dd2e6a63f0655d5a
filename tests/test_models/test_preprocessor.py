from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.errors import DataError
from vrtspike.models import SpikePreprocessor
from vrtspike.models.preprocessor import padded_lengths


def batch(size, spike_size, frames=2):
    generator = torch.Generator().manual_seed(0)
    blur, sharp = torch.randint(0, 256, (2, 1, frames, 3, *size), dtype=torch.uint8, generator=generator)
    return {
        'blur': blur,
        'sharp': sharp,
        'spikes': torch.rand(1, frames, 4, *spike_size, generator=generator),
        'meta': {'name': ['clip']},
    }


def test_a_size_that_fits_keeps_every_value():
    data = batch((16, 24), (8, 12))
    inputs = SpikePreprocessor()(data)
    assert torch.equal(inputs['blur'], data['blur'].float() / 255)
    assert torch.equal(inputs['sharp'], data['sharp'].float() / 255)
    assert torch.equal(inputs['spikes'], data['spikes'])
    assert inputs['size'] == (16, 24)
    assert inputs['meta'] == {'name': ['clip']}


@pytest.mark.parametrize(
    ('size', 'spike_size', 'padded', 'padded_spikes'),
    [
        ((18, 30), (9, 15), (24, 32), (12, 16)),
        ((20, 20), (5, 5), (24, 24), (6, 6)),
        ((18, 18), (18, 18), (24, 24), (24, 24)),
        ((18, 27), (6, 9), (24, 48), (8, 16)),
        ((20, 20), (8, 8), (40, 40), (16, 16)),
        ((9, 10), (18, 20), (16, 16), (32, 32)),
    ],
)
def test_frames_and_spikes_are_padded_by_the_same_part_of_the_scene(size, spike_size, padded, padded_spikes):
    inputs = SpikePreprocessor()(batch(size, spike_size))
    assert inputs['blur'].shape[-2:] == inputs['sharp'].shape[-2:] == padded
    assert inputs['spikes'].shape[-2:] == padded_spikes
    assert inputs['size'] == size


def test_padding_repeats_the_border_below_and_to_the_right():
    inputs = SpikePreprocessor()(batch((6, 10), (3, 5)))
    blur, spikes = inputs['blur'], inputs['spikes']
    assert torch.equal(blur[..., 6:, :10], blur[..., 5:6, :10].expand(-1, -1, -1, 2, -1))
    assert torch.equal(blur[..., 10:], blur[..., 9:10].expand(-1, -1, -1, -1, 6))
    assert torch.equal(spikes[..., 5:], spikes[..., 4:5].expand(-1, -1, -1, -1, 3))


def test_the_divisor_is_the_users():
    assert SpikePreprocessor(divisor=16)(batch((18, 18), (9, 9)))['blur'].shape[-2:] == (32, 32)


def test_without_targets_or_spikes():
    inputs = SpikePreprocessor()({'blur': torch.zeros(1, 1, 3, 9, 9, dtype=torch.uint8)})
    assert set(inputs) == {'blur', 'size', 'meta'}
    assert inputs['blur'].shape[-2:] == (16, 16)


@pytest.mark.parametrize(('rgb', 'spike'), [(97, 50), (101, 13)])
def test_sizes_without_a_common_grid_are_refused(rgb, spike):
    with pytest.raises(DataError, match=f'frames of {rgb} pixels and spikes of {spike} have no common grid'):
        padded_lengths(rgb, spike, 8)


@given(spike=st.integers(1, 60), ratio=st.sampled_from([Fraction(1, 2), 1, 2, 3, 4, Fraction(5, 2)]))
def test_padded_lengths_keep_the_ratio_and_are_least(spike, ratio):
    rgb = spike * ratio
    if rgb != int(rgb):
        return
    new_rgb, new_spike = padded_lengths(int(rgb), spike, 8)
    assert new_rgb == new_spike * ratio
    assert new_rgb % 8 == 0
    assert 0 <= new_rgb - rgb < 8 * 5


def test_several_frames_are_stacked_in_the_order_of_inputs():
    data = batch((16, 24), (8, 12))
    data['sdm'] = 255 - data['blur']
    stacked = SpikePreprocessor(inputs=['sdm', 'blur'])(data)['blur']
    assert torch.equal(stacked, torch.cat((data['sdm'], data['blur']), dim=2).float() / 255)


@pytest.mark.parametrize(('frames', 'transform'), [(['sdm', 'blur'], 'AddSDM'), (['estimate'], 'SpikesAlone')])
def test_a_missing_estimate_is_an_error_that_names_the_transform(frames, transform):
    with pytest.raises(DataError, match=transform):
        SpikePreprocessor(inputs=frames)(batch((16, 24), (8, 12)))


def test_clips_at_several_instants_become_clips_of_their_own():
    data = batch((8, 8), (4, 4), frames=6) | {'instant': torch.tensor([[0.25] * 3 + [0.75] * 3])}
    data['meta']['instants'] = torch.tensor([2])
    inputs = SpikePreprocessor()(data)
    assert torch.equal(inputs['instant'], torch.tensor([[0.25] * 3, [0.75] * 3]))
    for kind in ('blur', 'sharp'):
        assert torch.equal(inputs[kind][1], data[kind][0, 3:].float() / 255)
    assert torch.equal(inputs['spikes'][1], data['spikes'][0, 3:])


def test_what_flow_sees_is_joined_to_the_spikes():
    data = batch((16, 24), (8, 12))
    windows = torch.randint(0, 2, (1, 2, 25, 8, 12), dtype=torch.uint8)
    joined = SpikePreprocessor(flow_steps=25)(data | {'flow_spikes': windows})['spikes']
    assert torch.equal(joined[:, :, :4], data['spikes'])
    assert torch.equal(joined[:, :, 4:], windows.float())
    assert torch.equal(SpikePreprocessor()(data | {'flow_spikes': windows})['spikes'], data['spikes'])
    with pytest.raises(DataError, match=r'flow from 25 steps .* the batch has none: set flow_steps=25 of BinSpikes'):
        SpikePreprocessor(flow_steps=25)(data)
