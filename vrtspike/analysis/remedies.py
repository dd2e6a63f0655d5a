"""What makes a stage cheaper: a sentence, and the config lines that do it."""

from __future__ import annotations

import re
from collections.abc import Callable

Remedy = tuple[str, list[str]]

DEPTHS = [8, 8, 8, 8, 4, 4, 4, 8]
"""The baseline's; advice about a stage changes its entry."""

AMP = "optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')"
STAGE_COSTS = 'default_hooks = dict(stage_cost=dict(interval=10))'
FREEZE_FLOW = "default_hooks = dict(freeze=dict(type='FreezeHook', names=['backbone.spynet']))"


def larger_batch(clips: float | None) -> str:
    """Return what doubles the batch."""
    return f'train_dataloader = dict(batch_size={2 * round(clips or 1)})'


def remedy_for(stage: str) -> Remedy | None:
    """Return what makes ``stage`` cheaper, None where nothing is known."""
    return next((remedy(stage) for pattern, remedy in REMEDIES.items() if re.fullmatch(pattern, stage)), None)


def shallower(stage: str) -> Remedy:
    """Return what makes one of VRT's stages cheaper."""
    index = int(stage.removeprefix('stage')) - 1
    depths = [depth - 2 if i == index else depth for i, depth in enumerate(DEPTHS)]
    return (
        'Fewer blocks save in proportion and cost quality; smaller windows save score products only: 8 to 6 is 44 % of '
        'those, about 17 % of a self-attention block. (The lists are those of the baseline: lower yours alike.)',
        [f'model = dict(backbone=dict(depths={depths}))', 'model = dict(backbone=dict(window_size=[5, 6, 6]))'],
    )


def fuse_elsewhere(stage: str) -> Remedy:
    """Return what makes fusion cheaper."""
    return (
        'Fuse at lower resolutions only, which changes the network; larger chunks need fewer calls and change nothing '
        'else.',
        ['model = dict(fusion_stages=[2, 3, 4])', 'model = dict(fusion=dict(max_batch_tokens=65535, chunk_size=256))'],
    )


def fewer_chunks(stage: str) -> Remedy:
    """Return what makes self-attention along time cheaper."""
    return (
        'Larger chunks need fewer calls and change nothing else; without it spike features do not see other frames.',
        ['model = dict(tsa=dict(max_batch_tokens=65535, chunk_size=256))', 'model = dict(tsa=None)'],
    )


def narrower_encoder(stage: str) -> Remedy:
    """Return what makes the spike encoder cheaper."""
    return 'Fewer channels cost in proportion to their square.', ['model = dict(spike_encoder=dict(channels=64))']


def freeze_flow(stage: str) -> Remedy:
    """Return what makes optical flow cheaper."""
    return (
        'Freeze the pretrained flow network: its backward pass is gone.',
        [FREEZE_FLOW],
    )


REMEDIES: dict[str, Callable[[str], Remedy]] = {
    r'stage[1-8]': shallower,
    r'fuse\d*': fuse_elsewhere,
    r'tsa': fewer_chunks,
    r'spike_encoder': narrower_encoder,
    r'flow': freeze_flow,
}
