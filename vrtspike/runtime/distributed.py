"""Several processes, with or without GPUs, on one machine or many."""

from __future__ import annotations

import datetime
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from mmengine.dist import all_reduce, broadcast_object_list, get_world_size, init_dist, is_main_process
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from vrtspike.errors import ConfigError, VrtSpikeError

T = TypeVar('T')

SLURM_VARIABLES = {'RANK': 'SLURM_PROCID', 'WORLD_SIZE': 'SLURM_NTASKS', 'LOCAL_RANK': 'SLURM_LOCALID'}


@contextmanager
def process_group(launcher: str, settings: dict[str, Any] | None = None) -> Iterator[None]:
    """Join the process group of a launcher and leave it at the end, unless this process has already joined one.

    Args:
        launcher: 'none', 'pytorch' (torchrun) or 'slurm' (srun).
        settings: The config's ``env_cfg.dist_cfg``; without a GPU the backend is always gloo.
    """
    if launcher == 'none':
        refuse_processes_without_launcher(os.environ)
    if launcher == 'none' or torch.distributed.is_initialized():
        yield
        return
    settings = dict(settings or {})
    if launcher == 'slurm':
        set_variables_from_slurm(os.environ)
    check_variables(launcher, os.environ)
    if torch.cuda.is_available():
        init_dist(launcher, **settings)
    else:
        timeout = datetime.timedelta(seconds=settings.get('timeout', 1800))
        torch.distributed.init_process_group('gloo', timeout=timeout)  # MMEngine's own launchers need a GPU
    try:
        yield
        torch.distributed.barrier()  # the first to finish must not close the connections of the others
    finally:
        torch.distributed.destroy_process_group()


def refuse_processes_without_launcher(environment: Mapping[str, str]) -> None:
    """Raise if several processes were started without ``--launcher``: each would do all the work in the same folder.

    Raises:
        ConfigError: torchrun or srun has started several processes.
    """
    for variable, starter, launcher in (
        ('WORLD_SIZE', 'torchrun', 'pytorch'),
        ('SLURM_STEP_NUM_TASKS', 'srun', 'slurm'),
    ):
        count = environment.get(variable, '1')
        if count.isdigit() and int(count) > 1 and not torch.distributed.is_initialized():
            raise ConfigError(
                f'{starter} started {count} processes ({variable}={count}), but --launcher is none: each would run by '
                f'itself and write to the same folder. Add --launcher {launcher}, or start one process'
            )


def check_variables(launcher: str, environment: Mapping[str, str]) -> None:
    """Check that a launcher has set what the processes need to find each other.

    Raises:
        ConfigError: A variable is missing, or this machine has fewer GPUs than processes of torchrun.
    """
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in environment]
    if missing:
        raise ConfigError(
            f'--launcher {launcher} found no {", ".join(missing)} in the environment: start with torchrun '
            '(tools/dist_train.sh) or srun (tools/slurm_train.sh), or leave --launcher out'
        )
    processes, gpus = int(environment.get('LOCAL_WORLD_SIZE', 1)), torch.cuda.device_count()
    if launcher == 'pytorch' and torch.cuda.is_available() and processes > gpus:
        raise ConfigError(
            f'torchrun started {processes} processes on a machine with {gpus} GPUs: start one process per GPU '
            f'(--nproc-per-node {gpus})'
        )


def set_variables_from_slurm(environment: MutableMapping[str, str]) -> None:
    """Set the variables of torch.distributed from those of srun."""
    for name, slurm_name in SLURM_VARIABLES.items():
        if slurm_name in environment:
            environment[name] = environment[slurm_name]
    environment.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in environment and 'SLURM_NODELIST' in environment:
        command = ['scontrol', 'show', 'hostname', environment['SLURM_NODELIST']]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        environment['MASTER_ADDR'] = result.stdout.split()[0]


def broadcast(value: T) -> T:
    """Return the main process's value on every process. All processes must call this together."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def from_main_process(function: Callable[[], T]) -> T:
    """Call a function on the main process and return its result, or raise its error, on every process."""
    outcome: tuple[T | None, Exception | None] = None, None
    if is_main_process():
        try:
            outcome = function(), None
        except (VrtSpikeError, OSError) as error:
            outcome = None, error
    result, error = broadcast(outcome)
    if error is not None:
        raise error
    return result


def decided_by_main_process(name: str, decide: Callable[[], bytes], *, seconds: float) -> bytes | None:
    """Return what the main process decides; the others wait for it, and get None if it takes more than ``seconds``.

    Unlike :func:`broadcast` this is no collective: the processes may come here at different times, or never.

    Args:
        name: Names the decision in the store of the process group.
        decide: Called by the main process.
        seconds: How long to wait.
    """
    store = torch.distributed.distributed_c10d._get_default_store()
    key = f'vrtspike/{name}'
    if is_main_process():
        decision = decide()
        store.set(key, decision)
        return decision
    deadline = time.monotonic() + seconds
    while not store.check([key]):  # not wait(): it would block the store for the process's other threads
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return store.get(key)


def any_rank(flag: bool) -> bool:
    """Return whether ``flag`` is true on any process. All processes must call this together."""
    if get_world_size() == 1:
        return flag
    total = torch.tensor(float(flag))
    all_reduce(total, 'max')
    return bool(total)


def any_rank_of(flag: Tensor) -> Tensor:
    """Return whether ``flag``, one boolean, is true on any process. All processes must call this together.

    The result stays on the device. Over NCCL the host does not wait for it.
    """
    if get_world_size() == 1:
        return flag
    total = flag.float()
    all_reduce(total, 'max')
    return total > 0


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the network inside a data-parallel wrapper, or the network itself."""
    return model.module if is_model_wrapper(model) else model


def gather(tensor: Tensor) -> Tensor:
    """Return the full tensor, if it is sharded, or the tensor itself. All processes must call this together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a full tensor sharded like ``like``, or unchanged if ``like`` is not sharded or has another shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
