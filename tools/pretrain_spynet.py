"""Pretrain the flow network that ships with vrtspike on synthetic motion with known flow.

Prints the end-point error on new pairs, and that of zero flow for comparison.

Examples:
  python tools/pretrain_spynet.py --out spynet_level.pth
  python tools/pretrain_spynet.py --out quick.pth --iterations 300 --pairs 200
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryFile

from vrtspike.cli import run_tool, tool_parser
from vrtspike.errors import ConfigError

EVALUATED_SIZES = (96, 128)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='file to write: one pyramid level in float16')
    parser.add_argument('--iterations', type=int, help='optimizer steps (default: 3500)')
    parser.add_argument('--pairs', type=int, help='rendered frame pairs to train on (default: 800)')
    parser.add_argument('--seed', type=int, help='seed of weights, pairs and augmentation (default: 0)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from rich.progress import Progress

    from vrtspike.engine.flow_pretraining import FlowTraining, evaluate, pretrain, save_level

    if args.out.is_dir():
        raise ConfigError(f'--out {args.out} is a directory; expected the name of a file to write')
    given = {name: getattr(args, name) for name in ('iterations', 'pairs', 'seed') if getattr(args, name) is not None}
    settings = FlowTraining(**given)
    try:  # before the training, because its result would be lost
        args.out.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=args.out.parent).close()
    except OSError as error:
        raise ConfigError(f'--out {args.out} cannot be written: {error.strerror}') from error
    with Progress() as progress:
        task = progress.add_task('pretraining SpyNet')
        net = pretrain(
            settings, lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
        )
    save_level(net, args.out)
    print(f'wrote {args.out}')
    for size in EVALUATED_SIZES:
        found, none = evaluate(net, settings, size)
        print(f'{size}x{size}: end-point error on new pairs {found:.3f} px, with zero flow {none:.3f} px')


if __name__ == '__main__':
    run_tool(main)
