"""What every registered backbone promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import TWO_BLOCKS, awake

from vrtspike.profiling import listening
from vrtspike.registry import BACKBONES

SMALL = {
    'VRT': TWO_BLOCKS,
    'VRTLite': dict(embed_dims=[8, 8, 12, 16, 12, 8, 8], depths=[1] * 7),
}
NAMES = BACKBONES.names()


def build(name):
    """Return a small backbone whose layers that begin at zero are awake; plugins' are taken at their defaults."""
    torch.manual_seed(0)
    return awake(BACKBONES.build(dict(type=name, **SMALL.get(name, {}))).eval())


@pytest.fixture(scope='module', params=NAMES)
def backbone(request):
    return build(request.param)


def clips(backbone, batch=1, frames=2, height=16, width=16, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, backbone.in_channels, height, width, generator=generator)


@torch.no_grad()
def restore(backbone, clip):
    return backbone(clip)


class TestSizes:
    @pytest.mark.parametrize('size', [(1, 16, 16), (2, 13, 21), (3, 8, 8), (5, 3, 5), (2, 1, 1), (6, 24, 8)])
    def test_any(self, backbone, size):
        """Odd sides, maps of one pixel at 1/8, fewer and more frames than the window has."""
        out = restore(backbone, clips(backbone, 1, *size))
        frames, height, width = size
        assert out.shape == (1, backbone.frames_out(frames), 3, height * backbone.scale, width * backbone.scale)
        assert torch.isfinite(out).all()

    @settings(max_examples=8, deadline=None)
    @given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))
    def test_every_drawn_one(self, backbone, frames, height, width):
        out = restore(backbone, clips(backbone, 1, frames, height, width))
        assert out.shape == (1, backbone.frames_out(frames), 3, height * backbone.scale, width * backbone.scale)
        assert torch.isfinite(out).all()


class TestBatches:
    @settings(max_examples=6, deadline=None)
    @given(order=st.permutations(range(3)), frames=st.integers(1, 3))
    def test_permuting_the_clips_permutes_the_result(self, backbone, order, frames):
        batch = clips(backbone, 3, frames)
        torch.testing.assert_close(restore(backbone, batch[order]), restore(backbone, batch)[order], atol=1e-5, rtol=0)

    @settings(max_examples=6, deadline=None)
    @given(position=st.integers(0, 2), seed=st.integers(0, 100))
    def test_a_clip_alone_is_what_it_is_inside_a_batch(self, backbone, position, seed):
        batch = clips(backbone, 3, seed=seed)
        alone = restore(backbone, batch[position : position + 1])
        torch.testing.assert_close(restore(backbone, batch)[position : position + 1], alone, atol=1e-5, rtol=0)

    @pytest.mark.parametrize('shape', [(0, 2, 3, 16, 16), (1, 0, 3, 16, 16)])
    def test_an_empty_one_is_refused(self, backbone, shape):
        with pytest.raises(ValueError, match=r'is empty; expected at least one frame of one clip'):
            backbone(torch.zeros(shape))


class TestLayoutsAndTypes:
    @pytest.mark.parametrize('order', [(4, 3, 2, 1, 0), (0, 1, 3, 4, 2), (1, 0, 2, 4, 3)])
    def test_memory_layout_does_not_matter(self, backbone, order):
        clip = clips(backbone, 2, 3)
        inverse = sorted(range(5), key=order.__getitem__)
        other = clip.permute(order).contiguous().permute(inverse)
        assert not other.is_contiguous()
        torch.testing.assert_close(restore(backbone, other), restore(backbone, clip), atol=1e-5, rtol=0)

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, backbone, dtype):
        name, clip = type(backbone).__name__, clips(backbone, height=8, width=8)
        out = restore(build(name).to(dtype), clip.to(dtype))
        assert out.dtype == dtype
        assert (out.float() - restore(backbone, clip)).abs().mean() < 0.05

    def test_autocast(self, backbone):
        clip = clips(backbone)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = restore(backbone, clip)
        assert (out.float() - restore(backbone, clip)).abs().mean() < 0.05

    def test_a_type_that_the_weights_do_not_have_is_refused(self, backbone):
        with pytest.raises(ValueError, match=r'the clip is torch\.float16 and the weights are torch\.float32'):
            backbone(clips(backbone).half())
        with pytest.raises(ValueError, match=r'found torch\.uint8; convert with clip\.float\(\) / 255'):
            backbone((255 * clips(backbone)).byte())

    def test_another_shape_is_refused(self, backbone):
        name = type(backbone).__name__
        with pytest.raises(ValueError, match=rf'{name}: expected a clip \(B, T, 3, H, W\), found \(2, 3, 16, 16\)'):
            backbone(clips(backbone)[0])


class TestFuse:
    def test_it_is_called_after_the_stages_with_their_features(self, backbone):
        seen = {}

        def record(i, features):
            seen[i] = tuple(features.shape)
            return features

        clip = clips(backbone, 2, 3, 16, 24)
        with torch.no_grad():
            fused = backbone(clip, fuse=record)
        assert torch.equal(fused, restore(backbone, clip))
        assert list(seen) == list(range(len(backbone.stage_channels)))
        for i, (channels, divisor) in enumerate(zip(backbone.stage_channels, backbone.stage_scales, strict=True)):
            assert seen[i] == (2, channels, 3, 16 // divisor, 24 // divisor)

    @torch.no_grad()
    def test_what_it_returns_is_used(self, backbone):
        clip = clips(backbone)
        unchanged = backbone(clip)
        for stage in range(len(backbone.stage_channels)):
            changed = backbone(clip, fuse=lambda i, x, stage=stage: x + torch.sin(3 * x) if i == stage else x)
            assert (changed - unchanged).abs().max() > 1e-4, stage


def test_deterministic_in_eval(backbone):
    clip = clips(backbone)
    assert torch.equal(restore(backbone, clip), restore(backbone, clip))


def test_gradients_reach_every_parameter_and_the_clip(backbone):
    clip = clips(backbone, frames=3).requires_grad_()
    backbone(clip).square().mean().backward()
    without = [n for n, p in backbone.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    zero = [n for n, p in backbone.named_parameters() if p.grad is not None and not p.grad.any()]
    backbone.zero_grad()
    assert without == []
    # ReLUs of the flow network may all be off for a clip this small; key biases cancel in a softmax.
    assert [name for name in zero if 'flow' not in name and 'spynet' not in name] == []
    assert clip.grad.isfinite().all()


def test_state_dict_round_trips(backbone):
    name, clip = type(backbone).__name__, clips(backbone)
    torch.manual_seed(5)
    other = BACKBONES.build(dict(type=name, **SMALL.get(name, {}))).eval()
    assert not torch.equal(restore(other, clip), restore(backbone, clip))
    other.load_state_dict(backbone.state_dict(), strict=True)
    assert torch.equal(restore(other, clip), restore(backbone, clip))


def test_marked_stages_are_those_it_names_in_their_order(backbone):
    class Listener:
        def __init__(self):
            self.begun = []

        def forward_begins(self, name):
            if not name.startswith('/'):
                self.begun.append(name)

        def forward_ends(self, name):
            pass

        backward_begins = backward_ends = forward_ends

    with listening(Listener()) as listener:
        restore(backbone, clips(backbone))
    assert list(dict.fromkeys(listener.begun)) == list(backbone.cost_stages())


def test_summary_rows_hold_every_parameter_once(backbone):
    rows = backbone.summary_rows()
    assert [row['part'] for row in rows] == list(backbone.cost_stages())
    assert sum(row['parameters'] for row in rows) == sum(p.numel() for p in backbone.parameters())
