"""Several processes without a GPU, which MMEngine's launchers do not serve."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.dist import init_dist


def join_processes(launcher: str, config: Config) -> None:
    """Join the processes that a launcher has started: over the config's backend on GPUs, over gloo on CPUs.

    Args:
        launcher: 'none', 'pytorch' or 'slurm'.
        config: Its ``env_cfg.dist_cfg`` goes to MMEngine.
    """
    if launcher == 'pytorch' and not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')  # MMEngine would set the CUDA device whatever the backend
    elif launcher != 'none':
        init_dist(launcher, **config.get('env_cfg', {}).get('dist_cfg', {}))
