"""Facts of the code that pages show: parameters, MACs, saved activations, loaded tensors, keys of earlier configs.

Nothing is measured. Most networks are built on the meta device, where tensors have no values.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch

from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.config import load_config
from vrtspike.config.conversion.rules import Conversion
from vrtspike.config.legacy import RULES
from vrtspike.engine.out_of_memory import estimate
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.models.weights import LoadReport, load_matching
from vrtspike.profiling.parameters import count_parameters
from vrtspike.registry import MODELS, SPIKE_ENCODERS

BASELINE = 'configs/vrt_spike_baseline.py'
PUBLISHED = 'configs/vrt/006_vrt_videodeblurring_gopro.py'
SHAPE = (5, 128, 128)
"""Frames, height and width of the clip whose arithmetic is counted."""
LEGACY_VALUES = (3, False, True, 'x', [0.9, 0.99], [8] * 8, [1, 1, 1], [2, 2, 2], 'spike', 'adamw', 'cosine')
"""Values to try on the keys of an earlier config; each key allows at least one."""


class CodeFacts:
    """Facts of the checkout ``root``, each computed when it is asked for, networks and arithmetic once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.network = cache(partial(self._build, device='meta'))
        self.macs = cache(self._macs)

    def parameters(self, config: str, part: str = '') -> int:
        """Return the number of parameters of a network or of its part."""
        return count_parameters(self.network(config).get_submodule(part))

    def encoder_parameters(self, name: str) -> int:
        """Return the number of parameters of a spike encoder at its defaults."""
        with torch.device('meta'):
            return count_parameters(SPIKE_ENCODERS.build({'type': name}))

    @cached_property
    def gopro_into_baseline(self) -> LoadReport:
        """What became of the tensors of the published deblurring network in the baseline with spikes."""
        published, ours = self._build(PUBLISHED), self._build(BASELINE)
        return load_matching(ours, published.backbone.state_dict())

    def saved_activations_mib(self, overrides: Mapping[str, object]) -> float:
        """Return what the baseline with ``overrides`` saves for its backward pass, all stages together."""
        found = estimate(load_config(self.root / BASELINE, overrides=dict(overrides)))
        if isinstance(found, str):
            raise VrtSpikeError(f'{overrides}: {found}')
        return sum(found.values())

    def legacy_keys(self) -> dict[str, str]:
        """Return the counterpart of each key of the earlier code's configs, in words."""
        return {key: legacy_counterpart(key) for key in RULES}

    def _macs(self, config: str) -> int:
        return count_restorer(self.network(config), SHAPE, spike_ratio=2.0).total.macs

    def _build(self, config: str, device: str = 'cpu') -> Any:
        with torch.device(device), warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # on meta the flow network's weights have nowhere to go
            return MODELS.build(load_config(self.root / config).model)


def legacy_counterpart(key: str) -> str:
    """Return what became of a key of an earlier config, found by trying values until its rule has an effect."""
    outcomes = [found for value in LEGACY_VALUES if isinstance(found := apply_rule(key, value), Conversion)]
    if not outcomes:
        raise AssertionError(f'no value of {LEGACY_VALUES} is allowed for {key}: add one')
    effect = next((each for each in outcomes if each.overrides or each.without_effect or each.left_out), None)
    if effect is None:
        refusal = apply_rule(key, object())
        if isinstance(refusal, Conversion):
            return 'read with its neighbours'
        return f'{refusal.partition(" has a counterpart")[0]}: no other value has a counterpart'
    words = ['had no effect'] if effect.without_effect else []
    words += [', '.join(f'`{name}`' for name in effect.overrides)] if effect.overrides else []
    return '; '.join([*words, *(text.partition(': ')[2] for text in effect.left_out)])


def apply_rule(key: str, value: object) -> Conversion | str:
    """Return what a value of a key converts to, or the message that refuses it."""
    conversion = Conversion()
    try:
        RULES[key](key, value, conversion, {key: value})
    except ConfigError as error:
        return str(error)
    return conversion
