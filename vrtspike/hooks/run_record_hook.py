"""Records in the run's folder how each training was started: command, data, versions, device."""

from __future__ import annotations

import datetime
import json
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, master_only
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vrtspike.hooks.observing import ObservingHook
from vrtspike.registry import HOOKS
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.distributed import unwrap_model
from vrtspike.runtime.environment import describe_environment

FILE = 'run.json'


@HOOKS.register_module()
class RunRecordHook(ObservingHook):
    """Adds one entry to ``run.json`` in the run's folder every time the training is started or resumed.

    The file contains ``starts``, a list of: ``time``, ``command``, ``folder`` (the current one), ``host``,
    ``processes``, ``config`` (the resolved config beside it), ``seed``, ``from_iteration``, ``from_checkpoint``,
    ``effective_batch`` (clips per optimizer step), ``data`` (for ``train`` and ``val``: ``clips``, ``sequences``,
    ``names`` of the first 20), ``versions``, ``device``, ``commit``.
    """

    gives = f'this start in {FILE}'

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Append the entry."""
        path = Path(runner.work_dir, FILE)
        starts = json.loads(path.read_text(encoding='utf-8'))['starts'] if path.is_file() else []
        starts.append(describe_start(runner))
        write_text(path, json.dumps({'starts': starts}, indent=2, ensure_ascii=False) + '\n')
        runner.logger.info(f'Record of this run: {path}')


def describe_start(runner: Runner) -> dict[str, Any]:
    """Return the entry of ``run.json`` for a training that starts now."""
    model = unwrap_model(runner.model)
    loaders = {'train': runner.train_dataloader, 'val': runner.val_dataloader if runner.val_loop else None}
    filename = runner.cfg.filename
    accumulation = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    return dict(
        time=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        command=shlex.join([Path(sys.executable).name, *sys.argv]),
        folder=str(Path.cwd()),
        host=socket.gethostname(),
        processes=get_world_size(),
        config=Path(filename).name if filename else None,
        seed=runner.seed,
        from_iteration=runner.iter,
        from_checkpoint=runner._load_from,
        effective_batch=(runner.train_dataloader.batch_size or 1) * accumulation * get_world_size(),
        data={split: describe_data(loader) for split, loader in loaders.items() if loader is not None},
        **describe_environment(next(model.parameters()).device),
    )


def describe_data(loader: DataLoader) -> dict[str, Any]:
    """Return the numbers of clips and sequences of a data loader, and the first 20 names."""
    dataset = loader.dataset
    sequences = getattr(dataset, 'sequences', None)
    return {
        'clips': len(dataset),
        'sequences': None if sequences is None else len(sequences),
        'names': None if sequences is None else sorted({sequence.name for sequence in sequences})[:20],
    }
