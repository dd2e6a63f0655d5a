"""Pretrains SpyNet on synthetic motion with known flow.

All six levels of the pyramid share one set of weights during pretraining, because every level has the same task: find
the remaining flow between two almost aligned images. One level has 240,050 parameters, few enough to ship.

Motion appears in products of two frames and not in a single frame. A network with random initial weights therefore
gets no gradient towards motion and learns to predict zero flow. To avoid this, the first layer is initialised with
detectors of motion energy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.datasets.simulation.scenes import random_motion_pair
from vrtspike.errors import ConfigError, require_positive
from vrtspike.models.layers.alignment import warp
from vrtspike.models.layers.flow import LEVELS, FlowLevel, SpyNet
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.checkpoint_files import write_checkpoint_file

# Half of the pairs are sharp. The others are blurred over these shares of the interval between their frames.
EXPOSURES = (0.0, 0.0, 0.4, 0.8)
# Independent streams of random numbers under one seed.
TRAINING, FRESH = 0, 1

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FlowTraining:
    """Settings of the pretraining.

    Args:
        iterations: Optimizer steps.
        batch_size: Pairs in a step.
        size: Side of the crops in pixels, a multiple of 32.
        pairs: Pairs to render once; every step augments a random batch of them.
        max_speed: Largest mean motion of a layer between two frames, in pixels.
        lr: Peak learning rate of Adam; warmed up, then annealed to zero. It must be small: a step changes all 3136
            weights of a 7x7 filter at once, and at 6e-4 the ReLUs die and the network learns nothing.
        seed: Seed of weights, pairs and augmentation.

    Raises:
        ConfigError: A number is out of range.
    """

    iterations: int = 3500
    batch_size: int = 8
    size: int = 96
    pairs: int = 800
    max_speed: float = 10.0
    lr: float = 2e-4
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive('flow pretraining', **{name: value for name, value in asdict(self).items() if name != 'seed'})
        if self.size % 2 ** (LEVELS - 1):
            raise ConfigError(f'flow pretraining: size={self.size}; expected a multiple of {2 ** (LEVELS - 1)}')
        if self.seed < 0:
            raise ConfigError(f'flow pretraining: seed={self.seed}; expected 0 or more')


class Pairs(NamedTuple):
    """Frames (N, 3, H, W) in [0, 1], twice, and the flow (N, 2, H, W) in pixels from the first to the second."""

    frame0: Tensor
    frame1: Tensor
    flow: Tensor


def pretrain(settings: FlowTraining, report: Report) -> SpyNet:
    """Return a SpyNet with trained weights, shared by all levels; ``report`` gets (what, steps done, all steps)."""
    rng = torch.Generator().manual_seed(settings.seed)
    pool = render_pairs(settings, TRAINING, settings.pairs, settings.size * 4 // 3, report)
    net = shared_spynet(rng)
    level = net.basic_module[0].to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(level.parameters(), settings.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, settings.iterations))
    for step in range(1, settings.iterations + 1):
        loss = pyramid_loss(net, augmented_batch(pool, settings, rng))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(level.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(f'training, loss {loss.item():.3f} px', step, settings.iterations)
    return net


def lr_factor(step: int, iterations: int) -> float:
    """Return the learning rate at ``step`` relative to its peak: a linear warm-up over a tenth, a cosine to zero."""
    warm_up = min(1.0, (step + 1) / max(1.0, iterations / 10))
    return warm_up * (1 + math.cos(math.pi * step / iterations)) / 2


def render_pairs(settings: FlowTraining, stream: int, count: int, size: int, report: Report) -> Pairs:
    """Return rendered pairs as uint8 frames and float16 flow. Pair ``i`` depends on (seed, stream, i) alone."""
    pairs = []
    for index in range(count):
        rng = np.random.default_rng((settings.seed, stream, index))
        exposure = float(rng.choice(EXPOSURES))
        *frames, flow = random_motion_pair(rng, size, max_speed=settings.max_speed, exposure=exposure)
        pairs.append((*(np.rint(255 * frame).astype(np.uint8) for frame in frames), flow.astype(np.float16)))
        report('rendering pairs', index + 1, count)
    return Pairs(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True)))


def augmented_batch(pool: Pairs, settings: FlowTraining, rng: torch.Generator) -> Pairs:
    """Return random pairs of the pool with random crops, orientations, channel orders and brightness."""
    chosen = torch.randint(len(pool.flow), (settings.batch_size,), generator=rng)
    top, left = torch.randint(pool.flow.shape[-1] - settings.size + 1, (2,), generator=rng).tolist()
    window = (chosen, slice(None), slice(top, top + settings.size), slice(left, left + settings.size))
    frame0, frame1, flow = mirrored(Pairs(*(part[window].float() for part in pool)), rng)
    gain = (0.6 + 0.6 * torch.rand(settings.batch_size, 1, 1, 1, generator=rng)) / 255
    channels = torch.randperm(3, generator=rng)
    return Pairs(frame0[:, channels] * gain, frame1[:, channels] * gain, flow)


def mirrored(pairs: Pairs, rng: torch.Generator) -> Pairs:
    """Return the pairs in a random one of the eight orientations of a square."""
    flip_x, flip_y, swap = torch.randint(2, (3,), generator=rng).tolist()
    dims = [dim for dim, flip in ((3, flip_x), (2, flip_y)) if flip]
    signs = torch.tensor([1.0 - 2 * flip_x, 1.0 - 2 * flip_y]).view(1, 2, 1, 1)
    frame0, frame1, flow = pairs.frame0.flip(dims), pairs.frame1.flip(dims), pairs.flow.flip(dims) * signs
    if swap:
        frame0, frame1, flow = frame0.transpose(2, 3), frame1.transpose(2, 3), flow.transpose(2, 3).flip(1)
    return Pairs(frame0, frame1, flow)


def shared_spynet(rng: torch.Generator) -> SpyNet:
    """Return a SpyNet whose six levels are one module, initialised with detectors of motion energy."""
    net = SpyNet()
    level = net.basic_module[0]
    init_level(level, rng)
    for i in range(1, LEVELS):
        net.basic_module[i] = level
    return net


@torch.no_grad()
def init_level(level: FlowLevel, rng: torch.Generator) -> None:
    """Initialise a level: He initialisation, in the first layer with small weights added to the motion detectors."""
    first, *_, last = convs = [module for module in level.modules() if isinstance(module, nn.Conv2d)]
    for conv in convs:
        nn.init.kaiming_normal_(conv.weight, nonlinearity='relu', generator=rng)
        nn.init.zeros_(conv.bias)
    first.weight.mul_(0.1).add_(motion_energy_filters())
    last.weight.mul_(0.1)


def motion_energy_filters() -> Tensor:
    """Return first-layer weights (32, 8, 7, 7) that respond to motion in eight directions.

    Each filter sees the second frame a quarter of a wave later or earlier than the first. The sum of the rectified
    responses of its four phases is the motion energy of Adelson and Bergen (1985). The mean of this energy depends on
    the displacement; the mean response of a linear filter does not.
    """
    axis = torch.arange(7.0) - 3
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    envelope = torch.exp(-(x.square() + y.square()) / (2 * 1.8**2))

    def gabor(along: Tensor, quarters: int) -> Tensor:
        wave = envelope * torch.cos(2 * math.pi * along / 7 + quarters * math.pi / 2)
        wave = wave - envelope * (wave.sum() / envelope.sum())
        return wave / wave.norm()

    filters = torch.zeros(32, 8, 7, 7)
    for index, (eighths, direction, phase) in enumerate(itertools.product(range(4), (-1, 1), range(4))):
        along = x * math.cos(eighths * math.pi / 4) + y * math.sin(eighths * math.pi / 4)
        filters[index, :3] = gabor(along, phase) * 2 / 3
        filters[index, 3:6] = gabor(along, phase + direction) * 2 / 3
    return filters


def pyramid_loss(net: SpyNet, pairs: Pairs) -> Tensor:
    """Return the mean over levels of the end-point error in the level's own pixels."""
    flows = detached_flows(net, net.resize(pairs.frame0), net.resize(pairs.frame1))
    errors = [end_point_error(flow, F.avg_pool2d(pairs.flow, 2**i) / 2**i) for i, flow in enumerate(reversed(flows))]
    return torch.stack(errors).mean()


def detached_flows(net: SpyNet, reference: Tensor, neighbour: Tensor) -> list[Tensor]:
    """Return the same flows as ``pyramid_flows``, without gradients between levels.

    Training converges faster than with gradients through all six levels. Convolutions run in bfloat16.
    """
    flow = reference.new_zeros(len(reference), 2, *(side >> (LEVELS - 1) for side in reference.shape[-2:]))
    flows: list[Tensor] = []
    for scale in range(LEVELS - 1, -1, -1):
        ref, near = F.avg_pool2d(reference, 2**scale), F.avg_pool2d(neighbour, 2**scale)
        if flows:
            flow = 2 * F.interpolate(flow.detach(), scale_factor=2, mode='bilinear', align_corners=True)
        aligned = torch.cat((ref, warp(near, flow, padding_mode='border'), flow), dim=1)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            missing = net.basic_module[LEVELS - 1 - scale](aligned.contiguous(memory_format=torch.channels_last))
        flow = flow + missing.float()
        flows.append(flow)
    return flows


def end_point_error(flow: Tensor, target: Tensor) -> Tensor:
    """Return the mean length of the difference of two flows (N, 2, H, W), in pixels."""
    return ((flow - target).square().sum(1) + 1e-6).sqrt().mean()


@torch.no_grad()
def evaluate(net: SpyNet, settings: FlowTraining, size: int, pairs: int = 32) -> tuple[float, float]:
    """Return the end-point error on fresh pairs of ``size`` pixels and the error of zero flow, in pixels."""
    fresh = render_pairs(settings, FRESH, pairs, size, report=lambda *_: None)
    batches = zip(fresh.frame0.split(8), fresh.frame1.split(8), strict=True)
    found = torch.cat([net(frame0 / 255, frame1 / 255)[0] for frame0, frame1 in batches])
    flow = fresh.flow.float()
    return end_point_error(found, flow).item(), end_point_error(torch.zeros_like(flow), flow).item()


def save_level(net: SpyNet, path: str | Path) -> None:
    """Write one level's weights in half precision, as :func:`vrtspike.models.layers.flow.load_spynet` reads them."""
    weights = {key: value.half().contiguous() for key, value in net.basic_module[0].state_dict().items()}
    with atomic_write(path) as aside:
        write_checkpoint_file(aside, weights)
