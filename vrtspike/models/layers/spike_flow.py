"""SCFlow: optical flow from two windows of spikes (Hu et al., CVPR 2022, arXiv 2110.03916).

The representation and the pyramid see 25 spike steps around an instant; flow is refined from coarse to fine with the
correlation of warped features, as in PWC-Net (arXiv 1709.02371). The published adaptive window needs a flow known
before; here it is zero, so that windows are straight.

Shapes: windows (N, 25, h, w) of 0 and 1; flows (N, 2, h, w) in pixels of their own scale, x before y.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.alignment import warp
from vrtspike.models.layers.padding import pad_to_multiple
from vrtspike.models.weights import load_exact, read_weights

STEPS = 25
WIDTHS = (32, 64, 96, 128)
SMALLEST = 8
"""Divisor of height and width at the coarsest scale."""
REACH = 4
"""Largest displacement of a correlation, in pixels of its scale."""
MATCHED = 32
"""Channels of the reference's features that refine the flow."""


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with LeakyReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1))


class SpikeRepresentation(nn.Module):
    """Two convolutions of 25 spike steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_s1, self.conv_s2 = convolution(STEPS, WIDTHS[0]), convolution(WIDTHS[0], WIDTHS[0])

    def forward(self, window: Tensor) -> Tensor:
        """(N, 25, h, w) -> (N, 32, h, w)."""
        return self.conv_s2(self.conv_s1(window))


class FeaturePyramid(nn.Module):
    """Features at scales 1, 1/2, 1/4 and 1/8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_list = nn.ModuleList(
            nn.Sequential(convolution(inputs, outputs, stride=1 if i == 0 else 2), convolution(outputs, outputs))
            for i, (inputs, outputs) in enumerate(itertools.pairwise((WIDTHS[0], *WIDTHS)))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return four maps, finest first."""
        maps = []
        for level in self.conv_list:
            x = level(x)
            maps.append(x)
        return maps


class FlowEstimator(nn.Module):
    """Densely connected convolutions from (correlation, features, flow) to the residual of the flow."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (2 * REACH + 1) ** 2 + MATCHED + 2
        for i, outputs in enumerate((96, 64, 32), start=1):
            setattr(self, f'conv{i}', convolution(inputs, outputs))
            inputs += outputs
        self.conv4 = nn.Sequential(nn.Conv2d(inputs, 2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 115, h, w) -> (N, 2, h, w)."""
        for layer in (self.conv1, self.conv2, self.conv3):
            x = torch.cat((layer(x), x), dim=1)
        return self.conv4(x)


class SCFlow(nn.Module):
    """Flow from a reference to a neighbour at scales 1, 1/2, 1/4 and 1/8, from their spikes.

    Args:
        weights: A published checkpoint, read as weights only; None leaves them random.

    Raises:
        CheckpointError: The file is missing, unsafe, or contains something else.
    """

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.spike_representation = SpikeRepresentation()
        self.feature_encoder = FeaturePyramid()
        self.flow_estimators = FlowEstimator()
        self.conv_1x1 = nn.ModuleList(nn.Sequential(nn.Conv2d(width, MATCHED, 1)) for width in reversed(WIDTHS))
        if weights is not None:
            load_exact(self, read_weights(weights), f'{weights} (SCFlow)')

    def forward(self, reference: Tensor, neighbour: Tensor) -> list[Tensor]:
        """Return the flow between windows of spikes (N, 25, h, w) of 0 and 1.

        Returns:
            Four flows (N, 2, h/s, w/s) in pixels of their own scale, s = 1, 2, 4, 8: warping what ``neighbour`` shows
            by them gives what ``reference`` shows.
        """
        height, width = reference.shape[-2:]
        pyramids = [self.features(pad_to_multiple(each, SMALLEST)) for each in (reference, neighbour)]
        flows: list[Tensor] = []
        for match, ref, near in zip(self.conv_1x1, *map(reversed, pyramids), strict=True):
            flow = upsampled(flows[-1]) if flows else ref.new_zeros(len(ref), 2, *ref.shape[-2:])
            correlated = F.leaky_relu(correlation(ref, warp(near, flow, padding_mode='border')), 0.1)
            flows.append(flow + self.flow_estimators(torch.cat((correlated, match(ref), flow), dim=1)))
        return [flow[..., : height // s, : width // s] for flow, s in zip(reversed(flows), (1, 2, 4, 8), strict=True)]

    def features(self, window: Tensor) -> list[Tensor]:
        """Return the four maps of a window, finest first."""
        return self.feature_encoder(self.spike_representation(window))


def upsampled(flow: Tensor) -> Tensor:
    """Return a flow at twice the size, in pixels of that size."""
    return 2 * F.interpolate(flow, scale_factor=2, mode='bilinear', align_corners=True)


def correlation(reference: Tensor, neighbour: Tensor) -> Tensor:
    """Return the mean products of features (N, C, h, w) with those displaced by up to 4 pixels, (N, 81, h, w).

    Channel 9 * (dy + 4) + dx + 4 is that of the displacement (dx, dy); zeros lie beyond the border.
    """
    height, width = reference.shape[-2:]
    padded = F.pad(neighbour, (REACH,) * 4)
    near = (padded[..., y : y + height, x : x + width] for y in range(2 * REACH + 1) for x in range(2 * REACH + 1))
    return torch.stack([(reference * each).mean(dim=1) for each in near], dim=1)
