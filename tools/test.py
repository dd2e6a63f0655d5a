"""Score a checkpoint on held-out clips by the published protocol.

Whole sequences are restored and scored as 8-bit RGB images without a border, beside the blurred input and plain
reconstructions of the spikes (TFP, TFI). Other protocols make scores comparable with other projects. Real recordings
without sharp frames are scored by PIQE, NIQE or BRISQUE alone. To resume an interrupted test, run the same command
again. Writes results.json, frames.csv, one record per clip, and the page results.html.

Examples:
    python tools/test.py configs/vrt_spike_tiny.py work_dirs/vrt_spike_tiny/iter_1000.pth
    python tools/test.py CONFIG CHECKPOINT --thresholds 1 2 --save-images --out results
    python tools/test.py CONFIG CHECKPOINT --tile 256 --overlap 32 --tiles-per-batch 4 --precision bfloat16
    python tools/test.py CONFIG CHECKPOINT --protocol spikezoo --cfg-options data.type=SpikeZooBase data.root=ROOT
    python tools/test.py CONFIG CHECKPOINT --piqe --cfg-options data.type=SSDMReal data.root=ROOT
    torchrun --nproc-per-node 2 tools/test.py CONFIG CHECKPOINT --launcher pytorch
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import (
    add_config_arguments,
    add_device_argument,
    add_launcher_arguments,
    add_tiling_arguments,
    add_trust_argument,
    config_arguments,
    run_tool,
    tiling_arguments,
    tool_parser,
)

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help="the network's weights")
    parser.add_argument(
        '--out', metavar='DIR', help='folder for the results (default: test_<name> beside the checkpoint)'
    )
    parser.add_argument(
        '--thresholds',
        type=float,
        nargs='+',
        default=[1.0],
        metavar='FACTOR',
        help='multiples of the spike threshold to score at, each at least 1; the first one is reported (default: 1)',
    )
    parser.add_argument('--save-images', action='store_true', help='write every restored frame')
    parser.add_argument('--lpips', metavar='WEIGHTS', help="also score LPIPS, with torchvision's AlexNet weights")
    parser.add_argument(
        '--protocol',
        choices=('published', 'ssdm', 'spikezoo'),
        default='published',
        help='how PSNR and SSIM are computed: as in most tables; as S-SDM does (SSIM of uniform 7 x 7 windows); as '
        'Spike-Zoo does (luma)',
    )
    for option, package in (('--piqe', 'pypiqe'), ('--niqe', 'pyiqa'), ('--brisque', 'pyiqa')):
        name = option.removeprefix('--')
        parser.add_argument(
            option,
            dest='no_reference',
            action='append_const',
            const=name,
            help=f'also score {name.upper()}, which needs no sharp frames (optional: pip install {package})',
        )
    add_device_argument(parser)
    add_trust_argument(parser)
    add_launcher_arguments(parser)
    add_tiling_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.config import load_config
    from vrtspike.ops import measure_backends
    from vrtspike.runtime.distributed import process_group

    config = load_config(**config_arguments(args))
    environment = config.get('env_cfg') or {}
    measuring = measure_backends(environment.get('measure_backends'))
    with process_group(args.launcher, environment.get('dist_cfg')), measuring:
        score(args, config)


def score(args: argparse.Namespace, config: Config) -> None:
    """Score the checkpoint together with the other processes; the main process writes the results."""
    from mmengine.dist import is_main_process

    from vrtspike.inference.evaluation import TestSettings, agreed_tiling, evaluate
    from vrtspike.inference.loading import load_restorer
    from vrtspike.inference.restoring import tiling_of
    from vrtspike.inference.results import summarise, write_results
    from vrtspike.metrics.lpips import load_lpips
    from vrtspike.metrics.no_reference import load_no_reference
    from vrtspike.reporting.evaluation_page import write_page
    from vrtspike.reporting.evaluation_tables import results_text

    tiling = tiling_of(config, **tiling_arguments(args))
    model, config = load_restorer(args.checkpoint, config, device=args.device, trust=args.trust_checkpoint)
    if args.tile == ['auto']:
        tiling = agreed_tiling(model, config, tiling)
    distance = load_lpips(args.lpips, next(model.parameters()).device) if args.lpips else None
    no_reference = load_no_reference(args.no_reference or ())
    settings = TestSettings(tiling, tuple(args.thresholds), args.save_images, distance, args.protocol, no_reference)
    out = Path(args.out or Path(args.checkpoint).with_name(f'test_{Path(args.checkpoint).stem}'))
    sequences = evaluate(model, config, args.checkpoint, out, settings)
    if is_main_process():
        results = summarise(sequences, model, args.config, args.checkpoint, tiling, args.protocol)
        write_results(out, results, sequences)
        written = ['results.json', 'frames.csv']
        if results.thresholds:  # the page compares with targets
            write_page(out / 'results.html', results, sequences, out / 'pictures')
            written.append('results.html')
        print(f'{results_text(results)}\n\nWritten to {out}: {", ".join(written)}')


if __name__ == '__main__':
    run_tool(main)
