"""Several processes, on GPUs or without any, on one machine or many."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist

from vrtspike.config.schema import hooks_of
from vrtspike.errors import ConfigError

SLURM_NAMES = {'RANK': 'SLURM_PROCID', 'WORLD_SIZE': 'SLURM_NTASKS', 'LOCAL_RANK': 'SLURM_LOCALID'}


@contextmanager
def processes(launcher: str, settings: dict | None = None) -> Iterator[None]:
    """Join the other processes of this training, and leave them in the end, unless the caller has joined already.

    Args:
        launcher: 'none', 'pytorch' (torchrun) or 'slurm' (srun).
        settings: The config's ``env_cfg.dist_cfg``; without a GPU the backend is gloo whatever it says.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        yield
        return
    settings = dict(settings or {})
    if torch.cuda.is_available():
        init_dist(launcher, **settings)
    else:
        join_without_gpus(launcher, settings.get('timeout', 1800))
    try:
        yield
        torch.distributed.barrier()  # whoever is done first must not take the connection away from the others
    finally:
        torch.distributed.destroy_process_group()


def join_without_gpus(launcher: str, timeout: float) -> None:
    """Initialise gloo; MMEngine's own way asks for a GPU.

    Args:
        launcher: 'pytorch' or 'slurm'.
        timeout: Seconds that one process waits for the others.
    """
    if launcher == 'slurm':
        take_over_slurm_names(os.environ)
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise ConfigError(
            f'--launcher {launcher} found no {", ".join(missing)} in the environment: start with torchrun '
            '(tools/dist_train.sh) or srun (tools/slurm_train.sh), or leave --launcher out'
        )
    torch.distributed.init_process_group('gloo', timeout=datetime.timedelta(seconds=timeout))


def take_over_slurm_names(environment: dict[str, str]) -> None:
    """Set torch.distributed's variables from those of srun."""
    for ours, theirs in SLURM_NAMES.items():
        if theirs in environment:
            environment[ours] = environment[theirs]
    environment.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in environment and 'SLURM_NODELIST' in environment:
        shown = subprocess.run(
            ['scontrol', 'show', 'hostname', environment['SLURM_NODELIST']], capture_output=True, text=True, check=True
        )
        environment['MASTER_ADDR'] = shown.stdout.split()[0]


def agreed(text: str) -> str:
    """Return what the main process says, on every process."""
    texts = [text]
    broadcast_object_list(texts)
    return texts[0]


def wrap_for_processes(config: Config) -> None:
    """Let MMEngine's data-parallel wrapper work without GPUs, and with parameters that are frozen for a while."""
    if config.get('runner_type') == 'FlexibleRunner':
        return
    wrapper = dict(config.get('model_wrapper_cfg') or {})
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    if config.get('find_unused_parameters') or freezes(config):
        wrapper.setdefault('find_unused_parameters', True)
    if not torch.cuda.is_available():
        wrapper['device_ids'] = None
    config.model_wrapper_cfg = wrapper


def freezes(config: Config) -> bool:
    """Return whether a hook of the config takes parameters out of training."""
    return any(hook.get('type') == 'FreezeHook' for hook in hooks_of(config).values())
