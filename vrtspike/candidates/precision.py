"""Lower precision, in training and in restoring."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.candidates.candidate import PRECISION, Candidate, Overrides, value_at
from vrtspike.candidates.setting import Setting

AMP: Overrides = {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'auto'}


def training_precision(setting: Setting) -> Iterator[Candidate]:
    """Yield automatic mixed precision, and the flow network in it."""
    if setting.trains:
        uses_amp = 'Amp' in setting.optim_wrapper.get('type', '')
        yield from _autocast(setting, '', AMP, uses_amp)


def restoring_precision(setting: Setting) -> Iterator[Candidate]:
    """Yield restoring under autocast, and the flow network in it, whatever the network was trained in."""
    if not setting.trains:
        overrides: Overrides = {'model.tiling.precision': setting.autocast_dtype}
        uses_amp = value_at(setting.config, 'model.tiling.precision') in ('bfloat16', 'float16')
        yield from _autocast(setting, 'restoring_', overrides, uses_amp)


def _autocast(setting: Setting, prefix: str, amp: Overrides, uses_amp: bool) -> Iterator[Candidate]:
    if not uses_amp:
        yield Candidate(f'{prefix}amp', PRECISION, amp, note='Mixed precision first.')
    if setting.is_vrt:
        flow: Overrides = {'model.backbone.flow_precision': 'autocast'}
        overrides = flow if uses_amp else {**flow, **amp}
        yield Candidate(f'{prefix}flow_in_amp', PRECISION, overrides, 'flow' if uses_amp else '.*')
