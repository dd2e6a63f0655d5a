"""Train with and without a recipe, with equal iterations and several seeds, and record both.

``distillation`` compares a student of half the depth with and without its teacher, which must be trained already.
``progressive`` compares small crops for two thirds of the iterations with the config's crops throughout.

Examples:
    python benchmarks/recipes.py distillation --teacher work_dirs/vrt_spike_tiny/iter_1000.pth --out distillation.json
    python benchmarks/recipes.py progressive --config configs/vrt_spike_lite.py --seeds 0 1 2 --out progressive.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean

from vrtspike.cli import run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.config.hooks import remove_reporting_hooks
from vrtspike.engine.training import train
from vrtspike.errors import ConfigError
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.environment import describe_environment


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('recipe', choices=['distillation', 'progressive'])
    parser.add_argument('--config', default='configs/vrt_spike_tiny.py', help='what is trained, or its teacher')
    parser.add_argument('--depths', nargs='+', type=int, default=[1] * 8, help='depths of the student')
    parser.add_argument('--teacher', metavar='CHECKPOINT', help='the trained teacher')
    parser.add_argument('--iterations', type=int, default=300)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_args()


def run(config: str, folder: Path, seed: int, iterations: int, changes: dict) -> dict:
    """Train; return ``psnr_db`` of the held-out clips, ``gain_db`` over the blurred input and ``run_s``."""
    settings = {
        'randomness.seed': seed,
        'train_dataloader.sampler.seed': seed,
        'train_cfg.max_iters': iterations,
        'train_cfg.val_interval': iterations,
        'default_hooks.checkpoint.save_best': None,
        'default_hooks.checkpoint.interval': iterations,
    }
    resolved = load_config(config, overrides=settings | changes)
    remove_reporting_hooks(resolved, keep=['training_report'])
    resolved.experiment_name = folder.name
    began = time.perf_counter()
    train(resolved, work_dir=str(folder))
    took = time.perf_counter() - began
    scores = json.loads((folder / 'report.json').read_text(encoding='utf-8'))['validation']['mean']
    return {'seed': seed, 'psnr_db': scores['psnr_db'], 'gain_db': scores['gain_db'], 'run_s': took}


def distillation(args: argparse.Namespace) -> dict[str, dict]:
    """Return the changes of the student without and with its teacher."""
    if not args.teacher:
        raise ConfigError('distillation needs a trained teacher: --teacher work_dirs/vrt_spike_tiny/iter_1000.pth')
    student = {'model.backbone.depths': args.depths}
    teacher = {
        'model.type': 'DistilledRestorer',
        'model.teacher': args.config,
        'model.teacher_checkpoint': args.teacher,
        'model.feature_weight': 0.1,
    }
    return {'alone': student, 'taught': student | teacher}


def progressive(args: argparse.Namespace) -> dict[str, dict]:
    """Return the changes for the config's crops throughout, and for half of them in two thirds of the iterations."""
    crop = load_config(args.config).train_dataloader.dataset.pipeline[0]['size']
    phases = [dict(crop=crop // 2, iters=2 * args.iterations // 3), dict(crop=crop)]
    hook = {'default_hooks.crops': dict(type='ProgressiveCropsHook', phases=phases)}
    return {'throughout': {}, 'progressive': hook}


def main() -> None:
    args = parse_args()
    variants = {'distillation': distillation, 'progressive': progressive}[args.recipe](args)
    runs = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for name, changes in variants.items():
                found = run(args.config, Path(folder, f'{name}{seed}'), seed, args.iterations, changes)
                runs[name].append(found)
    means = {name: mean(one['psnr_db'] for one in found) for name, found in runs.items()}
    settings = {name: value for name, value in vars(args).items() if name != 'out'}
    record = dict(recipe=args.recipe, settings=settings, mean_psnr_db=means, runs=runs, **describe_environment('cpu'))
    write_json(args.out, record)
    print(json.dumps(means), 'written to', args.out)


if __name__ == '__main__':
    run_tool(main)
