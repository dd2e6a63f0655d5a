"""Time the backends of deformable convolution on maps as VRT has them, interleaved.

Offsets are a motion of some pixels, the same everywhere, and a residue of one pixel. On CPUs, the time is that of the
processor, all threads together, so that other processes disturb it little.

Examples:
    OMP_NUM_THREADS=1 python benchmarks/deform_conv_speed.py
    python benchmarks/deform_conv_speed.py --backends grid_sample native mmcv
    python benchmarks/deform_conv_speed.py --backends grid_sample triton --dtype bfloat16 --shapes 8x96x128x16
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import add_device_argument, run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

SHAPES = ['8x16x32x1', '8x16x128x1', '8x96x32x16', '8x96x64x16', '2x96x128x16', '8x120x32x12', '2x120x64x12']
"""Of `vrt_spike_tiny.py`, `vrt_spike_fast.py` and the published networks for super-resolution."""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--backends', nargs='+', default=['grid_sample', 'native'], help='(default: %(default)s)')
    parser.add_argument(
        '--shapes',
        nargs='+',
        default=SHAPES,
        metavar='NxCxSxD',
        help='maps, channels, pixels a side and deformable groups (default: %(default)s)',
    )
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16', 'float16'), help='(float32)')
    parser.add_argument('--rounds', type=int, default=7, help='timed calls of each (default: %(default)s)')
    add_device_argument(parser)
    parser.add_argument('--json', type=Path, metavar='F', help='write the record there')
    args = parser.parse_args()
    if not all(re.fullmatch(r'[1-9]\d*(x[1-9]\d*){3}', shape) for shape in args.shapes):
        parser.error(f'--shapes takes shapes such as 8x96x64x16, not {" ".join(args.shapes)}')
    for _, channels, _, groups in (map(int, shape.split('x')) for shape in args.shapes):
        if channels % groups:
            parser.error(f'--shapes: {groups} deformable groups do not divide {channels} channels')
    return args


def main() -> None:
    args = parse_args()
    import torch

    from vrtspike.benchmarking.pairs import interleaved_ms, load_average
    from vrtspike.runtime.device import chosen_device, processor_seconds
    from vrtspike.runtime.environment import describe_environment

    device = chosen_device(args.device)
    seconds = processor_seconds if device.type == 'cpu' else None
    runs = {name: installed(name) for name in args.backends}
    record = {'kind': 'deform_conv', **describe_environment(device), 'dtype': args.dtype, 'rows': []}
    for shape in args.shapes:
        inputs = made_inputs(*map(int, shape.split('x')), getattr(torch, args.dtype), device)
        for row, function in (('forward', forward), ('forward and backward', train)):
            calls = {name: functools.partial(function, run, inputs) for name, run in runs.items()}
            times = interleaved_ms(calls, args.rounds, device, seconds=seconds)
            found = {name: [round(ms, 3) for ms in each] for name, each in times.items()}
            first = statistics.median(found[args.backends[0]])
            gains = {name: round(first / statistics.median(each), 2) for name, each in found.items()}
            record['rows'].append(
                {'row': row, 'shape': shape, 'ms': found, 'times_faster': gains, 'load_average': load_average()}
            )
            print(json.dumps(record['rows'][-1]), flush=True)
    if args.json:
        write_json(args.json, record)


def installed(name: str) -> Callable:
    """Return the function of a backend, also of one that is never chosen on this device because it is slow there."""
    from vrtspike.errors import ConfigError
    from vrtspike.ops import DEFORM_CONV2D

    backend = DEFORM_CONV2D.find(name)
    if reason := backend.missing():
        raise ConfigError(f'--backends {name}: {reason}')
    return backend.run


def made_inputs(
    maps: int, channels: int, side: int, deformable_groups: int, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Return a map, offsets in float32, masks, a kernel of 3 x 3 taps and a bias."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    taps = 9 * deformable_groups
    offset = 3 * normal(maps, 1, 2, 1, 1) + normal(maps, taps, 2, side, side)
    others = [
        normal(maps, channels, side, side),
        normal(maps, taps, side, side).sigmoid(),
        normal(channels, channels, 3, 3),
        normal(channels),
    ]
    x, *rest = (tensor.to(device, dtype) for tensor in others)
    return [x, offset.flatten(1, 2).to(device), *rest]


def forward(run: Callable, inputs: list[Tensor]) -> None:
    import torch

    with torch.no_grad():
        run(*inputs, padding=1)


def train(run: Callable, inputs: list[Tensor]) -> None:
    import torch

    out = run(*(tensor.detach().requires_grad_() for tensor in inputs), padding=1)
    out.backward(torch.ones_like(out))


if __name__ == '__main__':
    run_tool(main)
