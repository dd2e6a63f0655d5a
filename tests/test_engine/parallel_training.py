"""One of the processes of test_parallel.py: trains in float64 and float32, stopped and resumed in between.

python parallel_training.py WORK_DIR JSON_OF_OVERRIDES CONFIG LAUNCHER [ITERATION_TO_STOP_IN ...]

The JSON is a list: the overrides from the start to the first stop, from there to the second, and so on.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook

from vrtspike.config import load_config
from vrtspike.engine.run_folder import AUTO
from vrtspike.engine.training import train
from vrtspike.errors import TrainingStopped
from vrtspike.models.preprocessor import SpikePreprocessor
from vrtspike.registry import HOOKS, MODELS
from vrtspike.runtime.distributed import process_group


@MODELS.register_module()
class DefaultTypePreprocessor(SpikePreprocessor):
    """Prepares batches in torch's default type."""

    def forward(self, data, training=False):
        batch = super().forward(data, training)
        dtype = torch.get_default_dtype()
        return {key: value.to(dtype) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


@HOOKS.register_module()
class LossFileHook(Hook):
    """Appends every digit of every loss to a file."""

    priority = 'LOW'  # before the hook that stops a training

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if get_rank() == 0:
            with Path(runner.work_dir, 'losses.txt').open('a') as file:
                file.write(f'{float(outputs["loss"])!r}\n')


@HOOKS.register_module()
class SpoilHook(Hook):
    """Makes the last sample of all, which one process alone has, one whose loss is not a number."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and get_rank() == get_world_size() - 1:
            data_batch['spikes'][-1] = float('nan')


@HOOKS.register_module()
class SignalHook(Hook):
    """Sends the last process alone a SIGTERM during one iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and get_rank() == get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGTERM)


def main(work_dir, overrides, config, launcher, *stops):
    phases = json.loads(overrides)
    for name in ('float64', 'float32'):
        torch.set_default_dtype(getattr(torch, name))
        for i, stop in enumerate((*stops, None)):
            changes = {'model.data_preprocessor.type': 'DefaultTypePreprocessor'}
            resolved = load_config(config, overrides=phases[i % len(phases)] | changes)
            resolved.experiment_name = f'{name}_{i}'
            hooks = [dict(type='LossFileHook'), dict(type='SpoilHook', iteration=13)]
            if stop is not None:
                hooks.append(dict(type='SignalHook', iteration=int(stop)))
            resolved.custom_hooks = hooks
            with suppress(TrainingStopped):
                train(resolved, work_dir=f'{work_dir}/{name}', resume=AUTO, launcher=launcher)


if __name__ == '__main__':
    with process_group(sys.argv[4]):
        main(*sys.argv[1:])
