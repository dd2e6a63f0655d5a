"""Restore a video, with the network that ships with vrtspike or with one of your own.

Frames and spikes are checked first and then read on demand, so the memory does not depend on the length. To continue an
interrupted run, run the same command again. The shipped network needs frames and spikes.

Examples:
    python tools/restore.py --blur clip.mp4 --spike clip.dat --spike-size 360 640 --threshold 1 --out restored.mp4
    python tools/restore.py configs/vrt_spike_tiny.py work_dirs/vrt_spike_tiny/iter_1000.pth \\
        --blur data/demo/val/000_chelsea/blur --spike data/demo/val/000_chelsea/spike --out restored
    python tools/restore.py work_dirs/vrt_spike_tiny/iter_1000.pth --blur frames --spike spikes --out restored
    python tools/restore.py CONFIG CHECKPOINT --blur clip.mp4 --spike clip.dat --spike-size 360 640 --threshold 1 \\
        --tile auto --precision bfloat16 --out restored.mp4
    python tools/restore.py CONFIG CHECKPOINT --blur frames --spike spikes --out compared --side-by-side
    python tools/restore.py configs/vrt_spike_alone.py CHECKPOINT --spike recording.npz --threshold 8 \\
        --steps-per-frame 40 --out restored
    python tools/restore.py --blur S-SDM/test/blur_data/CLIP --spike S-SDM/test/spike_data/CLIP --spike-size 180 320 \\
        --threshold 1 --light encoded --exposure-steps 97 --out restored
    python tools/restore.py CONFIG CHECKPOINT --blur frames --spike spikes --out slow_motion.mp4 --frames-per-exposure 8
    python tools/restore.py configs/vrt/006_vrt_videodeblurring_gopro.py 006_VRT_videodeblurring_GoPro.pth \\
        --blur clip.mp4 --out restored.mp4
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import (
    add_config_options,
    add_device_argument,
    add_layout_arguments,
    add_light_argument,
    add_tiling_arguments,
    add_trust_argument,
    config_arguments,
    layout_arguments,
    run_tool,
    tiling_arguments,
    tool_parser,
)
from vrtspike.errors import ConfigError, require_positive_integers

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'config',
        nargs='?',
        help='a config file, as in configs/vrt_spike_fast.py; not needed if the checkpoint contains its config, or for '
        'the shipped network',
    )
    parser.add_argument('checkpoint', nargs='?', help="the network's weights (default: the shipped network)")
    add_config_options(parser)
    parser.add_argument(
        '--blur',
        metavar='PATH',
        help='a video file, or a folder of images; not needed if the network restores from spikes alone',
    )
    parser.add_argument(
        '--spike',
        metavar='PATH',
        help='a folder with one spike file per frame, or one for all (.dat, .npy, .npz, .mat, .h5); not needed if '
        'the network uses no spikes',
    )
    parser.add_argument('--out', required=True, metavar='PATH', help='a folder for PNGs, or a .mp4, .mkv, .mov or .avi')
    parser.add_argument(
        '--spike-size',
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='default: from a config.yaml nearby',
    )
    parser.add_argument(
        '--keep-columns', type=int, metavar='N', help='spike columns to keep: 400 of 416, if the last 16 are the header'
    )
    parser.add_argument(
        '--steps-per-frame',
        type=int,
        metavar='N',
        help='without --blur: divide one recording into exposures of N steps; leftover steps at the end are not '
        'restored',
    )
    parser.add_argument(
        '--exposure-steps',
        type=int,
        metavar='N',
        help='a folder of spike files: the exposure is the N steps in the middle of each, as 97 of 137 in S-SDM '
        '(default: all)',
    )
    parser.add_argument('--threshold', type=float, help='of the spike camera (default: from a config.yaml nearby)')
    add_light_argument(parser)
    parser.add_argument(
        '--frames-per-exposure',
        type=int,
        metavar='N',
        help='restore N instants of every exposure, evenly spread: N times the frame rate (default: its middle)',
    )
    parser.add_argument('--side-by-side', action='store_true', help='blurred, TFP and restored beside each other')
    parser.add_argument('--fps', type=float, help="frames per second of a video (default: the input's, or 25)")
    add_device_argument(parser)
    add_trust_argument(parser)
    add_layout_arguments(parser)
    add_tiling_arguments(parser)
    args = parser.parse_intermixed_args()  # config and checkpoint may have options between them
    if args.config and not args.checkpoint:
        if args.config.endswith('.py'):
            raise ConfigError(
                f'{args.config} is a config without a checkpoint: name both, or neither for the shipped network'
            )
        args.config, args.checkpoint = None, args.config
    if args.cfg_options and not args.config:
        raise ConfigError('--cfg-options changes a config: name the config and the checkpoint')
    return args


def main() -> None:
    args = parse_args()
    from vrtspike.datasets.spike_layout import SpikeLayout
    from vrtspike.inference.files import even_instants, open_clip, restore_files
    from vrtspike.inference.outputs import frame_folder
    from vrtspike.inference.restoring import tiling_of
    from vrtspike.inference.spike_files import SpikeFileOptions
    from vrtspike.ops import measure_backends

    frame_folder(Path(args.out))  # rejects an impossible name before the network is built
    if args.fps is not None and not 0 < args.fps < math.inf:
        raise ConfigError(f'--fps got {args.fps}, expected a positive number of frames per second')
    if args.frames_per_exposure is not None:
        require_positive_integers('restore.py', frames_per_exposure=args.frames_per_exposure)
        if args.side_by_side:
            raise ConfigError('--side-by-side shows one frame of each exposure: drop it, or --frames-per-exposure')
    options = SpikeFileOptions(
        size=args.spike_size and tuple(args.spike_size),
        threshold=args.threshold,
        light=args.light,
        keep_columns=args.keep_columns,
        steps_per_frame=args.steps_per_frame,
        exposure_steps=args.exposure_steps,
        layout=SpikeLayout(**layout_arguments(args)),
    )
    clip = open_clip(args.blur, args.spike, options)
    model, config, checkpoint = load_network(args)
    tiling = tiling_of(config, **tiling_arguments(args))
    with measure_backends((config.get('env_cfg') or {}).get('measure_backends')):
        written = restore_files(
            model,
            config,
            clip,
            args.out,
            checkpoint=checkpoint,
            tiling=tiling,
            fit=args.tile == ['auto'],
            side_by_side=args.side_by_side,
            fps=args.fps,
            instants=args.frames_per_exposure and even_instants(args.frames_per_exposure),
        )
    print(f'{len(clip.frames) * (args.frames_per_exposure or 1)} frames restored: {written}')


def load_network(args: argparse.Namespace) -> tuple[nn.Module, Config, str | Path]:
    """Return the network, its config and the path of its weights. Say so if it is the shipped one."""
    from vrtspike.config import load_config
    from vrtspike.inference.loading import load_restorer
    from vrtspike.inference.shipped import shipped_network

    if args.checkpoint is None:
        weights, card = shipped_network()
        print(card.summary())
        return *load_restorer(weights, device=args.device), weights
    config = load_config(**config_arguments(args)) if args.config else None
    loaded = load_restorer(
        args.checkpoint, config, plugins=tuple(args.plugins), device=args.device, trust=args.trust_checkpoint
    )
    return *loaded, args.checkpoint


if __name__ == '__main__':
    run_tool(main)
