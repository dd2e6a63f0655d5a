"""Train a restorer.

Without a GPU the config's cpu_overrides shorten the run (crop, batch, iterations, workers; never the network).

Examples:
    python tools/train.py configs/vrt_spike_fast.py
    python tools/train.py configs/vrt_spike_tiny.py --work-dir work_dirs/tiny
    python tools/train.py configs/vrt_spike_baseline.py --cfg-options data.type=ProcessedClips data.root=/path/to/clips
    python tools/train.py configs/vrt_spike_baseline.py --amp --resume
    python tools/train.py configs/vrt_spike_baseline.py --resume --new-schedule --cfg-options train_cfg.max_iters=90000
    torchrun --nproc-per-node 2 tools/train.py configs/vrt_spike_baseline.py --launcher pytorch
"""

from __future__ import annotations

import argparse

from vrtspike.cli import (
    add_config_arguments,
    add_launcher_arguments,
    add_trust_argument,
    config_arguments,
    run_tool,
    tool_parser,
)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--work-dir', help='folder of the run (default: a new one, work_dirs/<config>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='latest',
        metavar='PATH',
        help="resume from a checkpoint or run folder, or without PATH from the run's newest intact checkpoint; "
        "'auto' starts a new run if there is none",
    )
    parser.add_argument(
        '--new-schedule',
        action='store_true',
        help='with --resume: use the learning rate and schedule of the config, not those of the checkpoint',
    )
    parser.add_argument('--load-from', metavar='PATH', help='start from the weights of a checkpoint')
    add_trust_argument(parser)
    parser.add_argument('--amp', action='store_true', help='train under automatic mixed precision')
    parser.add_argument('--no-cpu-overrides', action='store_true', help='train in full, even without a GPU')
    add_launcher_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.config import load_config
    from vrtspike.engine.training import train, wants_cpu_overrides, with_amp

    config = load_config(**config_arguments(args), cpu_overrides=wants_cpu_overrides(args.no_cpu_overrides))
    if args.amp:
        with_amp(config)
    train(
        config,
        work_dir=args.work_dir,
        resume=args.resume,
        load_from=args.load_from,
        trust_checkpoint=args.trust_checkpoint,
        launcher=args.launcher,
        new_schedule=args.new_schedule,
    )


if __name__ == '__main__':
    run_tool(main)
