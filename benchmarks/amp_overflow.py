"""Count the optimizer steps that float16 skips at the start of a training, for several initial loss scales.

On a GPU float16 is a setting of the config. On a CPU the toolkit uses bfloat16; this script uses float16 there too,
because gradients overflow as they do on a GPU. Most CPUs convolve a hundred times slower in float16 than in bfloat16,
so use small batches, and float32 for the flow, which is the default of VRT.

Examples:
    python benchmarks/amp_overflow.py configs/vrt_spike_tiny.py --out benchmarks/records/training/amp_overflow.json \\
        --cfg-options model.backbone.flow_precision=float32 train_dataloader.batch_size=1
    python benchmarks/amp_overflow.py configs/vrt_spike_amp.py --scales 65536 1024 --out amp_overflow.json
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from itertools import pairwise

import torch
from mmengine.hooks import Hook

from vrtspike.cli import add_config_arguments, config_arguments, run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.config.hooks import remove_reporting_hooks
from vrtspike.engine.training import train
from vrtspike.optim.amp import DeviceAmpOptimWrapper
from vrtspike.registry import HOOKS, OPTIM_WRAPPERS
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.device import chosen_device
from vrtspike.runtime.environment import describe_environment


@OPTIM_WRAPPERS.register_module()
class HalfOptimWrapper(DeviceAmpOptimWrapper):
    """Uses float16 on every device."""

    @property
    def cast_dtype(self) -> torch.dtype:
        return torch.float16


@HOOKS.register_module()
class StepsHook(Hook):
    """Records the loss and the loss scale of every iteration."""

    def before_train(self, runner) -> None:
        self.losses, self.scales = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(float(outputs['loss']))
        self.scales.append(runner.optim_wrapper.loss_scaler.get_scale())


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--iterations', type=int, default=60)
    parser.add_argument('--scales', nargs='+', type=float, default=[2.0**16, 2.0**10], help='initial loss scales')
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_args()


def run(args: argparse.Namespace, changes: dict) -> dict:
    """Train and return ``lost_steps``, ``last_scale``, whether all losses were ``finite``, and the ``losses``."""
    given = config_arguments(args)
    given['overrides'] = given['overrides'] | {'train_cfg.max_iters': args.iterations} | changes
    config = load_config(**given)
    remove_reporting_hooks(config)
    config.default_hooks.pop('nonfinite', None)
    config.default_hooks.steps = dict(type='StepsHook')
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    with tempfile.TemporaryDirectory() as folder:
        runner = train(config, work_dir=folder)
    steps = next(hook for hook in runner.hooks if isinstance(hook, StepsHook))
    before = [changes.get('optim_wrapper.loss_scale', {}).get('init_scale', 1.0), *steps.scales]
    return {
        'lost_steps': sum(after < was for was, after in pairwise(before)),
        'last_scale': steps.scales[-1],
        'finite': all(map(math.isfinite, steps.losses)),
        'losses': steps.losses,
    }


def main() -> None:
    args = parse_args()
    runs = {'bfloat16': run(args, {'optim_wrapper.dtype': 'bfloat16'})}
    for scale in args.scales:
        changes = {'optim_wrapper.type': 'HalfOptimWrapper', 'optim_wrapper.loss_scale': {'init_scale': scale}}
        runs[f'float16, init_scale {scale:g}'] = run(args, changes)
    device = chosen_device()
    record = dict(config=args.config, overrides=args.cfg_options, iterations=args.iterations, runs=runs)
    record |= describe_environment(device)
    write_json(args.out, record)
    print(json.dumps({name: found['lost_steps'] for name, found in runs.items()}), 'written to', args.out)


if __name__ == '__main__':
    run_tool(main)
