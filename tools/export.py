"""Export a restorer as a graph: a torch.export program (.pt2) or an ONNX model (.onnx).

The graph takes blurred frames (1, T, C, H, W) in [0, 1] and, if the network fuses spikes, voxel grids (1, T, K, Hs,
Ws). The file is compared with the network before it gets its final name. ONNX needs pip install 'vrtspike[onnx]'.

Examples:
    python tools/export.py configs/vrt/006_vrt_videodeblurring_gopro.py 006_VRT_videodeblurring_GoPro.pth \\
        --shape 6 64 64 --out gopro.onnx
    python tools/export.py configs/vrt_spike_lite.py work_dirs/vrt_spike_lite/iter_500.pth --shape 5 128 128 \\
        --spike-size 64 64 --out lite.pt2
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import add_config_arguments, add_trust_argument, config_arguments, run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='weights of a restorer, or published weights')
    parser.add_argument('--shape', nargs=3, type=int, metavar=('T', 'H', 'W'), required=True, help='size of a clip')
    parser.add_argument('--spike-size', nargs=2, type=int, metavar=('HS', 'WS'), help='default: half of H and W')
    parser.add_argument('--out', type=Path, required=True, help='file to write, .pt2 or .onnx')
    parser.add_argument(
        '--dynamic', action='store_true', help='take any number of frames, height and width (default: those of --shape)'
    )
    add_trust_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from rich.console import Console

    from vrtspike.config import load_config
    from vrtspike.export import check_target, example_inputs, export_network
    from vrtspike.models.weights import load_exact, read_weights
    from vrtspike.registry import MODELS
    from vrtspike.runtime.device import MIB

    check_target(args.out)
    restorer = MODELS.build(load_config(**config_arguments(args)).model)
    weights = read_weights(args.checkpoint, args.trust_checkpoint)
    load_exact(restorer, weights, f'checkpoint {args.checkpoint}')
    spike_size = args.spike_size or [length // 2 for length in args.shape[1:]]
    with Console(stderr=True).status('tracing, writing and comparing'):
        inputs = example_inputs(restorer, args.shape, spike_size)
        report = export_network(restorer, inputs, args.out, dynamic=args.dynamic)
    print(f'wrote {args.out} ({args.out.stat().st_size / MIB:.1f} MiB), mean difference {report.difference:.1e}')
    if report.smallest:
        frames, height, width = report.smallest
        print(f'for clips of at least {frames} frames of {height} x {width} pixels')


if __name__ == '__main__':
    run_tool(main)
