"""One check per registry, of all that its parts promise, at a tiny size.

Shapes: B = 2 clips, T = 3 frames, and an odd height, so that parts cannot rely on even sizes.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch

from vrtspike.config.signatures import keys_of
from vrtspike.contracts import Registry
from vrtspike.registry import BACKBONES, FUSION_HEADS, HOOKS, REPRESENTATIONS, SPIKE_ENCODERS, TSA
from vrtspike.testing.part_checks import Subject, check_all, fill_zeros
from vrtspike.testing.sweep import tiny_arguments
from vrtspike.testing.training import train_briefly

BATCH, FRAMES, SIZE = 2, 3, (7, 10)


def check_fusion_head(config: dict[str, Any], channels: int = 8) -> None:
    """Check a fusion head: (rgb, spike) -> rgb, all (B, C, T, H, W).

    Args:
        config: As in a config's ``model.fusion``, such as ``dict(type='GatedFusion')``.
        channels: C, which the restorer fills in otherwise.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    shape = (BATCH, channels, FRAMES, *SIZE)
    _check_module(FUSION_HEADS, dict(config, channels=channels), inputs=[shape, shape], outputs=[shape])


def check_tsa(config: dict[str, Any], channels: int = 8) -> None:
    """Check a temporal self-attention: x -> x, both (B, C, T, h, w); see :func:`check_fusion_head`."""
    shape = (BATCH, channels, FRAMES, *SIZE)
    _check_module(TSA, dict(config, channels=channels), inputs=[shape], outputs=[shape])


def check_spike_encoder(config: dict[str, Any], bins: int = 4) -> None:
    """Check a spike encoder: voxel (B, T, K, Hs, Ws) -> one map (B, C, T, Hs/2^i, Ws/2^i) per scale, rounded up.

    Args:
        config: As in a config's ``model.spike_encoder``.
        bins: K, unless ``config`` has it.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    config = {**tiny_arguments(SPIKE_ENCODERS, config['type'], bins=bins), **config}
    channels = SPIKE_ENCODERS.build(dict(config)).channels
    sizes = [[-(-length // 2**i) for length in SIZE] for i in range(len(channels))]
    outputs = [(BATCH, c, FRAMES, *size) for c, size in zip(channels, sizes, strict=True)]
    _check_module(SPIKE_ENCODERS, config, [(BATCH, FRAMES, config.get('bins', bins), *SIZE)], outputs)


def check_backbone(config: dict[str, Any], size: tuple[int, int] = (16, 24)) -> None:
    """Check a backbone: clip (B, T, C, H, W) -> frames, with ``fuse`` called on the features of every stage.

    Args:
        config: As in a config's ``model.backbone``; arguments that it leaves out and that VRT has too are tiny.
        size: (H, W) of the clip.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    config = {**tiny_arguments(BACKBONES, config['type']), **config}
    backbone = BACKBONES.build(dict(config))
    clip = (BATCH, FRAMES, backbone.in_channels, *size)
    restored = (BATCH, backbone.frames_out(FRAMES), 3, *(backbone.scale * length for length in size))
    _check_module(BACKBONES, config, [clip], [restored])
    _check_fuse(backbone, clip, config['type'])


def check_representation(config: dict[str, Any], steps: int = 64) -> None:
    """Check a spike representation: (steps, H, W) of 0 and 1 -> (K, H, W) float32, K the same for any size.

    Args:
        config: As in a config's ``representation``.
        steps: Time steps of one exposure.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    name, represent = config['type'], REPRESENTATIONS.build(dict(config))
    spikes = np.random.default_rng(0).integers(0, 2, (steps, *SIZE)).astype(np.uint8)
    before = spikes.copy()
    first, second = represent(spikes), represent(spikes)
    assert first.shape == (len(first), *SIZE), f'{name}: returned {first.shape}, expected (K, {SIZE})'
    assert first.dtype == np.float32, f'{name}: returned {first.dtype}, expected float32'
    assert np.isfinite(first).all(), f'{name}: returned values that are not finite'
    assert np.array_equal(first, second), f'{name}: two calls with the same spikes return different values'
    assert np.array_equal(spikes, before), f'{name}: changed its input in place'
    assert len(represent(spikes[:, :2, :3])) == len(first), f'{name}: K depends on the size of the frame'


def check_hook(config: dict[str, Any]) -> None:
    """Check a hook: a tiny network trains and validates with it, and its weights are the same as without it.

    For hooks that are meant to change training, use :func:`~vrtspike.testing.training.train_briefly` and check what
    should change.

    Raises:
        AssertionError: The weights after training differ from those without the hook.
    """
    HOOKS.get(config['type'])
    with tempfile.TemporaryDirectory() as folder:
        plain, hooked = (train_briefly(f'{folder}/{i}', hooks) for i, hooks in enumerate(([], [dict(config)])))
    pairs = zip(plain.model.parameters(), hooked.model.parameters(), strict=True)
    same = all(torch.equal(one, other) for one, other in pairs)
    assert same, f'{config["type"]}: the weights after training differ from those without the hook'


def _check_module(registry: Registry, config: dict[str, Any], inputs: list, outputs: list) -> None:
    subject = Subject(config['type'], lambda **more: registry.build({**config, **more}), inputs, outputs)
    check_all(subject, chunked='chunk_size' in keys_of(registry.get(config['type'])).names)


def _check_fuse(backbone: torch.nn.Module, clip: tuple[int, ...], name: str) -> None:
    """Check that ``fuse`` gets the features of every stage, and that the network continues with what it returns."""
    seen: dict[int, tuple[int, ...]] = {}

    def shift(i: int, features: torch.Tensor) -> torch.Tensor:
        seen[i] = tuple(features.shape)
        return features + offset

    offset = torch.zeros((), requires_grad=True)
    out = fill_zeros(backbone)(torch.rand(clip, generator=torch.Generator().manual_seed(0)), fuse=shift)
    stages = zip(backbone.stage_channels, backbone.stage_scales, strict=True)
    expected = {
        i: (clip[0], channels, clip[1], *(-(-length // scale) for length in clip[-2:]))
        for i, (channels, scale) in enumerate(stages)
    }
    assert seen == expected, f'{name}: fuse was called with {seen}, expected {expected}'
    weighted = (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum()
    (gradient,) = torch.autograd.grad(weighted, offset, allow_unused=True)
    assert gradient is not None, f'{name}: what fuse returns does not reach the output'
