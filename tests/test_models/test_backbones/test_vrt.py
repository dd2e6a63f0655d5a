import pytest
import torch
from tiny_networks import TWO_BLOCKS, awake
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.models import VRT
from vrtspike.models.layers.alignment import neighbour_corners
from vrtspike.models.layers.blocks import AttentionBlock
from vrtspike.models.layers.drop_path import DropPath
from vrtspike.models.layers.padding import pad_to_multiple


def tiny(**changes):
    """Return a VRT with every part, but hardly any channels."""
    torch.manual_seed(0)
    return VRT(**TWO_BLOCKS | changes)


def random_clip(frames=4, height=16, width=16, channels=3, batch=1):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, frames, channels, height, width, generator=generator)


class TestSizes:
    @pytest.mark.parametrize('frames', [1, 2, 3, 5])
    def test_any_number_of_frames(self, frames):
        clip = random_clip(frames)
        assert awake(tiny().eval())(clip).shape == clip.shape

    @pytest.mark.parametrize(('height', 'width'), [(8, 8), (16, 24), (13, 21), (7, 9)])
    def test_maps_smaller_than_the_windows_and_sizes_that_8_does_not_divide(self, height, width):
        clip = random_clip(2, height, width)
        out = awake(tiny(window_size=[2, 8, 8]).eval())(clip)
        assert out.shape == clip.shape
        assert torch.isfinite(out).all()

    def test_padding_repeats_the_border_and_is_cropped_off(self):
        model = awake(tiny().eval())
        clip = random_clip(2, 13, 14)
        by_hand = model(clip[..., [*range(13), 12, 12, 12], :][..., [*range(14), 13, 13]])
        torch.testing.assert_close(model(clip), by_hand[..., :13, :14])

    def test_a_divisible_size_is_not_touched(self):
        clip = random_clip(2, 16, 24)
        assert pad_to_multiple(clip, 8) is clip

    def test_pa_frames_beyond_the_clip(self):
        for pa_frames, frames in ((4, 2), (6, 3), (6, 1)):
            clip = random_clip(frames)
            model = tiny(pa_frames=pa_frames, embed_dims=[12] * 8)
            assert awake(model.eval())(clip).shape == clip.shape

    def test_super_resolution(self):
        model = tiny(upscale=4).eval()
        assert awake(model)(random_clip(2, 9, 8)).shape == (1, 2, 3, 36, 32)
        assert model.scale == 4

    def test_noise_channel(self):
        model = awake(tiny(nonblind_denoising=True).eval())
        assert model.in_channels == 4
        assert model(random_clip(2, channels=4)).shape == (1, 2, 3, 16, 16)

    def test_interpolation_makes_one_frame(self):
        model = awake(tiny(pa_frames=0).eval())
        assert model(random_clip(4)).shape == (1, 1, 3, 16, 16)
        assert [model.frames_out(4), tiny().frames_out(4)] == [1, 4]

    def test_samples_of_a_batch_do_not_see_each_other(self):
        model = awake(tiny().eval())
        clips = random_clip(2, batch=2)
        torch.testing.assert_close(model(clips)[1:], model(clips[1:]), atol=1e-5, rtol=1e-4)

    def test_another_number_of_channels_is_refused(self):
        with pytest.raises(ValueError, match=r'expected a clip \(B, T, 3, H, W\), found \(1, 2, 4, 16, 16\)'):
            tiny()(random_clip(2, channels=4))


class TestStart:
    def test_untrained_it_is_exactly_the_identity(self):
        clip = random_clip(3, 16, 16)
        assert torch.equal(tiny()(clip), clip)

    def test_untrained_super_resolution_is_plain_enlargement(self):
        clip = random_clip(2, 8, 8)
        enlarged = nn.functional.interpolate(clip[0], scale_factor=2, mode='bilinear', align_corners=False)
        torch.testing.assert_close(tiny(upscale=2)(clip)[0], enlarged)

    def test_every_parameter_gets_a_gradient(self):
        model = awake(tiny().eval())
        model(random_clip(3)).square().mean().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []

    def test_it_learns_from_the_first_step(self):
        model = tiny()
        model(random_clip(2)).square().mean().backward()
        assert model.conv_last.weight.grad.abs().max() > 0

    def test_its_flow_is_not_random(self):
        """A pattern moved by 2 pixels: the shipped SpyNet sees the motion."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(1, 3, 12, 12, generator=generator)
        scene = nn.functional.interpolate(coarse, size=(96, 96), mode='bicubic').clamp(0, 1)
        first, second = scene[..., 8:72, 8:72], scene[..., 8:72, 6:70]
        with torch.no_grad():
            flow = tiny().spynet(first, second)[0][0, :, 16:-16, 16:-16]
        assert 1.0 < flow[0].median() < 3.0
        assert flow[1].median().abs() < 0.5


class TestFuse:
    def test_called_after_the_input_and_after_stages_1_to_7(self):
        model = awake(tiny(embed_dims=[8] * 7 + [12]).eval())
        seen = {}

        def record(i, features):
            seen[i] = tuple(features.shape)
            return features

        clip = random_clip(3, 16, 32)
        out = model(clip, fuse=record)
        expected = {
            i: (1, channels, 3, 16 // scale, 32 // scale)
            for i, (channels, scale) in enumerate(zip(model.stage_channels, model.stage_scales, strict=True))
        }
        assert list(seen) == list(range(8))
        assert seen == expected
        assert torch.equal(out, model(clip))

    @pytest.mark.parametrize('stage', range(8))
    def test_what_it_returns_is_used(self, stage):
        model = awake(tiny().eval())
        clip = random_clip(2)
        with torch.no_grad():
            changed = model(clip, fuse=lambda i, x: x + torch.sin(3 * x) if i == stage else x)
            assert (changed - model(clip)).abs().max() > 1e-4


class TestCheckpointing:
    def test_same_output_and_gradients(self):
        clip = random_clip(2)
        results = []
        for recompute in (False, True):
            model = awake(tiny(use_checkpoint_attn=recompute, use_checkpoint_ffn=recompute, drop_path_rate=0.0))
            out = model(clip)
            out.square().mean().backward()
            results.append((out, {name: p.grad for name, p in model.named_parameters()}))
        (out, gradients), (recomputed, recomputed_gradients) = results
        torch.testing.assert_close(recomputed, out)
        torch.testing.assert_close(recomputed_gradients, gradients)

    def test_same_gradients_with_stochastic_depth(self):
        gradients = []
        for recompute in (False, True):
            model = awake(tiny(use_checkpoint_attn=recompute, use_checkpoint_ffn=recompute, drop_path_rate=0.5))
            torch.manual_seed(3)
            model(random_clip(2)).square().mean().backward()
            gradients.append({name: p.grad for name, p in model.named_parameters()})
        torch.testing.assert_close(*gradients)

    def test_flags_and_exceptions_reach_the_blocks(self):
        model = tiny(
            use_checkpoint_attn=True,
            use_checkpoint_ffn=True,
            no_checkpoint_attn_blocks=[1],
            no_checkpoint_ffn_blocks=[2, 7],
        )

        def flags(module):
            blocks = [block for block in module.modules() if isinstance(block, AttentionBlock)]
            (pair,) = {(block.checkpoint_attn, block.checkpoint_ffn) for block in blocks}
            return pair

        assert flags(model.stage1) == (True, True)
        assert flags(model.stage2) == (False, True)
        assert flags(model.stage3) == (True, False)
        assert flags(model.stage8) == (True, False)


def test_stochastic_depth_grows_over_all_blocks_and_restarts_in_each_second_group():
    model = tiny(depths=[4] * 7 + [2, 2], embed_dims=[8] * 9, num_heads=[2] * 9, drop_path_rate=0.31)
    steps = [round(100 * path.rate) for path in model.modules() if isinstance(path, DropPath)]
    expected = []
    for first in range(0, 28, 4):
        expected += [first, first + 1, first + 2, first]  # three mutual blocks, then one that begins anew
    assert steps == [*expected, 28, 29, 30, 31]


def test_attention_inside_frames_where_indep_reconsts_says_so():
    model = tiny(depths=[2] * 9, embed_dims=[8] * 9, num_heads=[2] * 9, indep_reconsts=[8])
    windows = [group.residual_group.blocks[0].attn.window for group in model.stage8[1:]]
    assert windows == [(4, 4, 4), (1, 4, 4)]


def test_summary_rows_hold_every_parameter_once():
    model = tiny()
    rows = {row['part']: row for row in model.summary_rows()}
    assert list(rows) == list(model.cost_stages())
    assert sum(row['parameters'] for row in rows.values()) == sum(p.numel() for p in model.parameters())
    assert rows['stage3'] | {'parameters': 0} == {
        'part': 'stage3',
        'blocks': '1 + 1',
        'channels': 8,
        'scale': '1/4',
        'parameters': 0,
    }


def test_neighbour_corners_are_zero_beyond_the_ends_and_exact_for_whole_pixels():
    clip = random_clip(3, 4, 5)
    right, nothing = torch.zeros(1, 2, 2, 4, 5), torch.zeros(1, 2, 2, 4, 5)
    right[:, :, 0] = 1
    after, before = neighbour_corners(clip, right, nothing)
    assert after.shape == before.shape == (1, 3, 12, 4, 5)
    assert not after[:, -1].any()
    assert not before[:, 0].any()
    for corner in range(4):
        channels = slice(3 * corner, 3 * corner + 3)
        assert torch.equal(after[:, :-1, channels, :, :-1], clip[:, 1:, :, :, 1:])
        assert not after[:, :-1, channels, :, -1].any()
        assert torch.equal(before[:, 1:, channels], clip[:, :-1])


@pytest.mark.parametrize(
    ('changes', 'parts'),
    [
        (dict(depths=[2] * 7), ['depths has 7', 'embed_dims has 8', 'num_heads has 8']),
        (dict(embed_dims=[8] * 9), ['depths has 8', 'embed_dims has 9']),
        (dict(num_heads=[2] * 13), ['num_heads has 13', 'at least 8']),
        (dict(depths=[2] * 7, embed_dims=[8] * 7, num_heads=[2] * 7), ['at least 8', 'depths has 7']),
        (dict(indep_reconsts=[11, 12]), ['indep_reconsts=[11, 12]', 'valid indices are [7]']),
        (dict(indep_reconsts=[6]), ['are not groups of stage 8: [6]']),
        (dict(num_heads=[2] * 7 + [3]), ['embed_dims[7] = 8', 'num_heads[7] = 3']),
        (dict(embed_dims=[16] + [8] * 7), ['stages 7 and 1 are added', '= 8', '= 16']),
        (dict(pa_frames=3), ['pa_frames = 3', '0, 2, 4, 6']),
        (dict(pa_frames=6), ['embed_dims has 8 channels', 'pa_frames = 6', 'a multiple of 3, the number of']),
        (dict(deformable_groups=3), ['8 channels', '3 deformable_groups']),
        (dict(upscale=3), ['upscale = 3']),
        (dict(window_size=[8, 8]), ['window_size = [8, 8]']),
        (dict(window_size=[2, 8, 0]), ['window_size = [2, 8, 0]']),
    ],
)
def test_arguments_that_disagree_are_refused_with_both_sides(changes, parts):
    with pytest.raises(ConfigError) as caught:
        tiny(**changes)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_all_sizes_that_do_not_divide_are_told_together():
    with pytest.raises(ConfigError) as caught:
        tiny(num_heads=[3] * 8, upscale=3)
    assert 'num_heads[7] = 3' in str(caught.value)
    assert 'upscale = 3' in str(caught.value)
