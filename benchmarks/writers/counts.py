"""Single numbers in the text of all pages that the code defines: parameters, arithmetic, tensors of checkpoints.

Nothing is measured, and networks are built without their weights where that is enough.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from writers.places import Place, figures

if TYPE_CHECKING:
    from torch import nn

    from vrtspike.profiling.flops import Costs

SHAPE = (5, 128, 128)
"""Frames, height and width of the clip whose arithmetic the pages tell."""
ENCODERS = ('SpikeEncoder3D', 'SeparableSpikeEncoder', 'PatchSpikeEncoder')
PUBLISHED = 'vrt/006_vrt_videodeblurring_gopro'


def places(root: Path) -> list[Place]:
    return figures(root, values(root))


def values(root: Path) -> dict[str, Callable[[], str]]:
    """Return all figures by their names; what is not called costs nothing."""
    network, costs, fates = (cache(partial(function, root)) for function in (build, count, adapted))
    found: dict[str, Callable[[], str]] = {}
    for path in root.glob('configs/vrt_spike_*.py'):
        name = path.stem.removeprefix('vrt_spike_')
        found[f'parameters.{name}'] = lambda config=path.stem: f'{parameters(network(config)):,}'
        found[f'parameters.{name}.backbone'] = lambda config=path.stem: f'{parameters(network(config).backbone):,}'
        found[f'gmacs.{name}'] = lambda config=path.stem: f'{costs(config).total.macs / 1e9:.1f}'
    baseline = 'vrt_spike_baseline'
    found['parameters.spike_side'] = lambda: f'{spike_side_parameters(network(baseline)):,}'
    found |= {f'parameters.{name}': partial(encoder_parameters, name) for name in ENCODERS}
    found['macs.full_resolution'] = lambda: percent(full_resolution_share(costs(baseline)))
    found['macs.warping'] = lambda: percent(warping_share(costs(baseline)))
    for fate in ('loaded', 'adapted', 'fresh', 'unused'):
        found[f'gopro_into_baseline.{fate}'] = lambda fate=fate: str(len(getattr(fates(), fate)))
    return found


def build(root: Path, config: str) -> Any:
    """Return the network of a config without weights."""
    import torch

    from vrtspike.config import load_config
    from vrtspike.registry import MODELS

    with torch.device('meta'), warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # the flow network's weights have nowhere to go
        return MODELS.build(load_config(root / f'configs/{config}.py').model)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def spike_side_parameters(network: Any) -> int:
    return parameters(network) - parameters(network.backbone)


def encoder_parameters(name: str) -> str:
    """Return how many parameters a spike encoder has at its defaults."""
    import torch

    from vrtspike.registry import SPIKE_ENCODERS

    with torch.device('meta'):
        return f'{parameters(SPIKE_ENCODERS.build({"type": name})):,}'


def count(root: Path, config: str) -> Costs:
    """Return what the forward pass of one clip computes."""
    from vrtspike.benchmarking.restorer_costs import count_restorer

    return count_restorer(build(root, config), SHAPE, spike_ratio=2.0)


def full_resolution_share(costs: Costs) -> float:
    """Return the share of a VRT's arithmetic that is in stages 1, 7 and 8."""
    stages = {f'stage{i}': costs.stages[f'stage{i}'].macs for i in range(1, 9)}
    vrt = sum(stages.values()) + sum(costs.stages[name].macs for name in ('flow', 'input', 'reconstruction'))
    return sum(stages[f'stage{i}'] for i in (1, 7, 8)) / vrt


def warping_share(costs: Costs) -> float:
    """Return the share of the arithmetic of stages 1 to 7 that is parallel warping."""
    parts = ('warp', 'offset_head', 'deform_conv', 'fusion')
    warping = sum(costs.parts[f'stage{i}/{part}'].macs for i in range(1, 8) for part in parts)
    return warping / sum(costs.stages[f'stage{i}'].macs for i in range(1, 8))


def adapted(root: Path) -> Any:
    """Return what became of the tensors of the published deblurring network in the baseline with spikes."""
    from vrtspike.config import load_config
    from vrtspike.models.weights import load_weights
    from vrtspike.registry import MODELS

    published, ours = (
        MODELS.build(load_config(root / f'configs/{config}.py').model) for config in (PUBLISHED, 'vrt_spike_baseline')
    )
    return load_weights(ours, published.backbone.state_dict())


def percent(share: float) -> str:
    return f'{100 * share:.0f}'
