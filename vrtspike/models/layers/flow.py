"""SpyNet: optical flow by a pyramid of small networks (arXiv 1611.00850), and a light variant with a single network.

Shapes: frames (N, 3, H, W) in [0, 1]; flows (N, 2, H, W) in pixels of their own scale, x before y.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import CheckpointError
from vrtspike.models.layers.alignment import warp
from vrtspike.models.layers.padding import pad_to_multiple
from vrtspike.models.weights import load_exact, read_weights
from vrtspike.ops.padding import next_multiple
from vrtspike.runtime.imagenet import register_imagenet_statistics

LEVELS = 6
SHARED_LEVELS = 3
CHANNELS = (8, 32, 64, 32, 16, 2)
PRETRAINED_LEVEL = Path(__file__).parent.parent / 'pretrained' / 'spynet_level.pth'
Network = Callable[[Tensor, Tensor], list[Tensor]]


class FlowLevel(nn.Module):
    """Five 7x7 convolutions from (reference, warped neighbour, flow) to the residual of the flow."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(CHANNELS):
            layers += [nn.Conv2d(inputs, outputs, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.basic_module(x)


class SpyNet(nn.Module):
    """Flow from a reference frame to a neighbour at scales 1, 1/2, 1/4 and 1/8.

    Weights are random; :func:`load_spynet` reads trained ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(FlowLevel() for _ in range(LEVELS))
        register_imagenet_statistics(self)

    def forward(self, reference: Tensor, neighbour: Tensor) -> list[Tensor]:
        """Return the flow between RGB frames (N, 3, H, W) in [0, 1].

        Returns:
            Four flows (N, 2, H/s, W/s) in pixels of their own scale, s = 1, 2, 4, 8: warping ``neighbour`` by them
            gives ``reference``.
        """
        height, width = reference.shape[-2:]
        flows = pyramid_flows(self.basic_module, self.resize(reference), self.resize(neighbour))
        return [
            resize_flow(flow, (height // scale, width // scale))
            for flow, scale in zip(reversed(flows[-4:]), (1, 2, 4, 8), strict=True)
        ]

    def resize(self, frame: Tensor) -> Tensor:
        """Return the normalised frame, resized to multiples of 32 pixels, so that every level halves exactly."""
        size = [next_multiple(length, 32) for length in frame.shape[-2:]]
        return (F.interpolate(frame, size=size, mode='bilinear', align_corners=False) - self.mean) / self.std


class SharedPyramidFlow(nn.Module):
    """Flow from a reference frame to a neighbour, with one network for all three levels: 240,050 parameters.

    Args:
        weights: A file of one level, as ``tools/pretrain_spynet.py`` writes it, read as weights only; None uses the
            one shipped with the package.

    Raises:
        CheckpointError: The file is missing, unsafe, or contains something else.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.level = FlowLevel()
        register_imagenet_statistics(self, persistent=False)
        load_level(self.level, weights or PRETRAINED_LEVEL)

    def forward(self, reference: Tensor, neighbour: Tensor) -> list[Tensor]:
        """Return the flow between RGB frames (N, 3, H, W) in [0, 1], H and W even.

        Returns:
            Two flows (N, 2, H/s, W/s) in pixels of their own scale, s = 1, 2: warping ``neighbour`` by them gives
            ``reference``.
        """
        height, width = reference.shape[-2:]
        *_, half, full = pyramid_flows([self.level] * SHARED_LEVELS, self.prepare(reference), self.prepare(neighbour))
        return [full[..., :height, :width], half[..., : height // 2, : width // 2]]

    def prepare(self, frame: Tensor) -> Tensor:
        """Return the normalised frame, with its border repeated to a size that every level halves exactly."""
        return pad_to_multiple((frame - self.mean) / self.std, 2 ** (SHARED_LEVELS - 1))


def pyramid_flows(levels: Sequence[nn.Module], reference: Tensor, neighbour: Tensor) -> list[Tensor]:
    """Return the flow after every level of a pyramid, coarsest first.

    Args:
        levels: One network per level, coarsest first; each works at half the size of the next.
        reference: Normalised frames (N, 3, H, W), H and W are multiples of 2^(levels - 1).
        neighbour: The same.
    """
    references, neighbours = [reference], [neighbour]
    for _ in levels[1:]:
        references.insert(0, F.avg_pool2d(references[0], 2))
        neighbours.insert(0, F.avg_pool2d(neighbours[0], 2))
    flow = reference.new_zeros(reference.shape[0], 2, *references[0].shape[-2:])
    flows = []
    for level, ref, near in zip(levels, references, neighbours, strict=True):
        if flows:
            flow = 2 * F.interpolate(flow, scale_factor=2, mode='bilinear', align_corners=True)
        warped = warp(near, flow, padding_mode='border')
        flow = flow + level(torch.cat((ref, warped, flow), dim=1))
        flows.append(flow)
    return flows


def load_spynet(spynet: SpyNet, path: str | Path | None = None) -> None:
    """Load the weights of a published SpyNet, or of one level, from which all six levels then start.

    Args:
        spynet: The network to fill.
        path: A checkpoint, read as weights only; None uses the level shipped with the package, made by
            ``tools/pretrain_spynet.py``.

    Raises:
        CheckpointError: The file is missing, unsafe, or contains neither.
    """
    path = path or PRETRAINED_LEVEL
    weights = read_weights(path)
    for net in (spynet, *spynet.basic_module[:1]):
        parameters = {name: parameter.shape for name, parameter in net.named_parameters()}
        if parameters == {name: weights[name].shape for name in parameters if name in weights}:
            break
    else:
        raise CheckpointError(
            f'{path} contains no SpyNet: expected {next(iter(parameters))}, ... of one level or of six '
            f'(basic_module.0.basic_module.0.weight, ...); found {", ".join(list(weights)[:3])}, ...'
        )
    targets = [spynet] if net is spynet else list(spynet.basic_module)
    for target in targets:
        target.load_state_dict({name: weights[name] for name in target.state_dict() if name in weights}, strict=False)


def load_level(level: FlowLevel, path: str | Path) -> None:
    """Load one level from a file; see :class:`SharedPyramidFlow`."""
    weights = read_weights(path)
    try:
        load_exact(level, weights, str(path))
    except CheckpointError as error:
        raise CheckpointError(
            f'expected a single level of SpyNet, as tools/pretrain_spynet.py writes it; {error}'
        ) from error


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a flow (N, 2, H, W) resized to ``size``, in pixels of the new size."""
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    resized = F.interpolate(flow, size=size, mode='bilinear', align_corners=False)
    return torch.stack((resized[:, 0] * (size[1] / width), resized[:, 1] * (size[0] / height)), dim=1)


def clip_flows(network: Network, image: Tensor, distances: int) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return the flows between the frames of a clip, finest scale first.

    Args:
        network: Returns the flows between what it sees of a reference and of a neighbour, finest scale first.
        image: What it sees of each frame (B, T, C, H, W): an RGB clip in [0, 1], for example.
        distances: Largest distance in frames; longer flows are composed from steps of one frame.

    Returns:
        For scales 1, 1/2, 1/4, 1/8 a pair (backward, forward): for each distance d = 1, 2, ... the flow (B, T-d, 2,
        H/s, W/s) in pixels from frame t to frame t+d, and from frame t+d to frame t.
    """
    b, t = image.shape[:2]
    if t == 1:
        return [_no_flows(image, scale, distances) for scale in (1, 2, 4, 8)]
    earlier, later = image[:, :-1].flatten(0, 1), image[:, 1:].flatten(0, 1)
    both_ways = network(torch.cat((earlier, later)), torch.cat((later, earlier)))
    scales = []
    for flow in both_ways:
        backward, forward = (part.unflatten(0, (b, t - 1)) for part in flow.chunk(2))
        reversed_flows = compose_flows(forward.flip(1), distances)
        scales.append((compose_flows(backward, distances), [flow.flip(1) for flow in reversed_flows]))
    return scales


def compose_flows(flow: Tensor, distances: int) -> list[Tensor]:
    """Return [flow from frame t to t+1, to t+2, ...], each (B, T-d, 2, H, W), from the first of them."""
    flows = [flow]
    for d in range(2, distances + 1):
        if flow.shape[1] < d:
            flows.append(flow[:, :0])
            continue
        so_far, last_step = flows[-1][:, : flow.shape[1] - d + 1], flow[:, d - 1 :]
        warped = warp(last_step.flatten(0, 1), so_far.flatten(0, 1)).view_as(last_step)
        flows.append(so_far + warped)
    return flows


def _no_flows(image: Tensor, scale: int, distances: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the empty flows of a clip of one frame."""
    none = image.new_zeros(image.shape[0], 0, 2, image.shape[-2] // scale, image.shape[-1] // scale)
    return [none] * distances, [none] * distances
