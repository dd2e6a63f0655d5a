"""The flow between the frames of a clip, from the frames or from spikes around them.

Shapes: B clips, T frames; frames (B, T, 3, H, W); windows of spikes (B, T, 25, h, w) of the same view.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.layers.flow import clip_flows, resize_flow
from vrtspike.models.layers.spike_flow import STEPS

FLOWS = ('rgb', 'spikes')
"""What a backbone may compute flow from."""


def flow_steps_of(flow: str) -> int:
    """Return how many steps of spikes the flow network sees for a backbone's argument ``flow``: none for ``'rgb'``."""
    if flow not in FLOWS:
        raise ConfigError(f'flow={flow!r}, expected one of {", ".join(map(repr, FLOWS))}')
    return STEPS if flow == 'spikes' else 0


def frame_flows(
    network: nn.Module,
    image: Tensor,
    windows: Tensor | None,
    distances: int,
    scales: Sequence[int] = (1, 2, 4, 8),
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return the flows of :func:`~vrtspike.models.layers.flow.clip_flows` between frames, from spikes if there are any.

    Args:
        network: A flow network for frames; with ``windows`` :class:`~vrtspike.models.layers.spike_flow.SCFlow`, whose
            finest flow is resized to the frames.
        image: (B, T, 3, H, W) in [0, 1]; with ``windows`` only its size counts.
        windows: Spikes around the instant of each frame, of 0 and 1, or None.
        distances: Largest distance in frames.
        scales: The divisors of H and W for which ``windows`` give flows.
    """
    if windows is None or image.shape[1] == 1:
        return clip_flows(network, image, distances)
    height, width = image.shape[-2:]

    def at_frames(reference: Tensor, neighbour: Tensor) -> list[Tensor]:
        flow = resize_flow(network(reference, neighbour)[0], (height, width))
        return [F.avg_pool2d(flow, scale) / scale for scale in scales]

    return clip_flows(at_frames, windows, distances)
