"""The facts that candidates of a search depend on: what torch and the machine can do."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import torch

from vrtspike.candidates import Candidate, Overrides, Purpose, Setting, catalogue
from vrtspike.candidates.candidate import value_at
from vrtspike.optim.amp import resolve_dtype
from vrtspike.runtime.device import usable_cores


def candidates_of(config: Any, device: torch.device, shares: Mapping[str, float], objective: str) -> list[Candidate]:
    """Return the candidates that a search can try on a loaded config, from the share of each stage."""
    setting = Setting(
        config=config.to_dict(),
        objective=objective,
        device=device.type,
        autocast_dtype=str(resolve_dtype('auto', device)).removeprefix('torch.'),
        has_compiler=shutil.which('g++') is not None,
        cores=usable_cores(),
        shares=shares,
    )
    return list(catalogue(setting, Purpose.STEP_TIME))


def published_path(config: Any) -> Overrides | None:
    """Return the overrides that make VRT compute like the published code (plain operators, float32); else None."""
    if config.model.backbone.type != 'VRT':
        return None
    overrides: Overrides = {'model.backbone.attn_type': 'reference', 'model.backbone.flow_precision': 'float32'}
    if value_at(config, 'model.backbone.compile_mode'):
        overrides['model.backbone.compile_mode'] = None
    if value_at(config, 'model.tiling.precision'):
        overrides['model.tiling.precision'] = 'float32'
    wrapper = config.to_dict().get('optim_wrapper') or {}
    if 'Amp' in wrapper.get('type', ''):
        kept = {key: value for key, value in wrapper.items() if key not in ('type', 'dtype', 'loss_scale')}
        overrides['optim_wrapper'] = {'_delete_': True, 'type': 'OptimWrapper', **kept}
    return overrides
