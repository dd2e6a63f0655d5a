"""Describes the run that samples belong to."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import Runner
from torch import nn

from vrtspike.errors import describe
from vrtspike.hooks.flops_hook import FlopsHook
from vrtspike.profiling.named_stages import NamedStages
from vrtspike.records.nominal_peaks import nominal_peak
from vrtspike.records.stage_costs import CountedCost, Rates, RunLine, Sample
from vrtspike.runtime.distributed import unwrap_model
from vrtspike.runtime.environment import describe_environment


def run_line(runner: Runner, named: NamedStages, rates: Rates | None, sample: Sample, **schedule: int) -> RunLine:
    """Return the record of a run.

    Args:
        runner: The run.
        named: Its stages that are named by their modules.
        rates: Of its device, if they are known.
        sample: The first one.
        **schedule: ``warmup`` and ``interval`` of the samples.
    """
    model = unwrap_model(runner.model)
    dtype = computing_type(runner)
    environment = describe_environment(next(model.parameters()).device)
    notes = named.limits()
    if runner.cfg.get('compile'):
        notes.append('the network is compiled as one, and sampled iterations run uncompiled')
    flops = flops_hook(runner)
    counted = flops and flops.costs
    if counted and counted.note:  # the counted clip is not the one that is timed
        notes.append(f'no rates: {counted.note}')
        counted = None
    costs = counted and counted.counted()
    if costs and any(owner.phase == 'recompute' for owner in sample.times):
        try:
            costs = with_recomputed(costs, flops, model)
        except Exception as error:
            notes.append(f'no HFU: what is recomputed could not be counted ({describe(error)})')
    return RunLine(
        version=1,
        time=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        config=Path(runner.cfg.filename).stem if getattr(runner.cfg, 'filename', None) else None,
        rank=get_rank(),
        world_size=get_world_size(),
        stages=['data', *named.in_network(), 'optimizer', 'communication', 'other'],
        accumulative_counts=getattr(runner.optim_wrapper, '_accumulative_counts', 1),
        precision=str(dtype).removeprefix('torch.'),
        clip_shape=list(counted.clip_shape) if counted and counted.clip_shape else None,
        costs=costs,
        uncounted_ops=dict(counted.unknown) if counted else {},
        rates=rates,
        nominal=nominal_peak(environment['device']['name'], products_in(dtype)) or msgspec.UNSET,
        notes=notes,
        **schedule,
        **environment,
    )


def computing_type(runner: Runner) -> torch.dtype:
    """Return the type that the network computes in."""
    return getattr(runner.optim_wrapper, 'cast_dtype', torch.float32)


def flops_hook(runner: Runner) -> FlopsHook | None:
    """Return the hook that counts the network, if there is one."""
    return next((hook for hook in runner.hooks if isinstance(hook, FlopsHook)), None)


def with_recomputed(costs: dict[str, CountedCost], flops: FlopsHook, model: nn.Module) -> dict[str, CountedCost]:
    """Return counts by stage with what is recomputed."""
    macs = flops.recomputed_macs(model)
    return {
        name: msgspec.structs.replace(cost, recomputed_gmacs=macs.get(name, 0) / 1e9) for name, cost in costs.items()
    }


def products_in(dtype: torch.dtype) -> str:
    """Return the precision of matrix products of a type: float32 ones may use tensor cores."""
    name = str(dtype).removeprefix('torch.')
    return 'tf32' if name == 'float32' and torch.backends.cuda.matmul.allow_tf32 else name
