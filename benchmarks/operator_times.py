"""Say where a forward pass of the released deblurring network goes on a CPU: its time by kind of operator.

PyTorch's profiler counts the time of an operator without those that it calls. The second call counts. An older checkout
is measured by the same script: name it in PYTHONPATH.

Examples:
    python benchmarks/operator_times.py
    python benchmarks/operator_times.py --size 128 --rounds 5 --json benchmarks/records/speed/operators_cpu.json
    PYTHONPATH=/path/to/older/checkout python benchmarks/operator_times.py
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vs_upstream import PRECISIONS, clip_of, make_network, step

from vrtspike.cli import run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json

if TYPE_CHECKING:
    import torch

KINDS = {
    'matrix products': r'(aten::(add|b|bad)?mm|mkldnn::_linear_pointwise)$',
    'window attention': r'vrtspike::window_attention$',
    'convolutions': r'aten::\w*convolution\w*$',
    'sampling': r'vrtspike::deform_conv2d$|aten::grid_sampler',
    'copies': r'aten::(copy_|cat|index|index_select|gather|constant_pad_nd|_to_copy|fill_|roll|flip)$',
    'norms and gates': r'vrtspike::(layer_norm|gate)$|aten::native_layer_norm$|aten::gelu$',
    'sums of maps': r'aten::add_?$|vrtspike::add_scattered$',
    'other element-wise': r'aten::(mul_?|sub|div_?|tanh|sigmoid|(leaky_)?relu_?|floor|ceil|clamp\w*)$|vrtspike::\w+$',
}
"""Kinds of operators by the pattern of their names; the first that matches counts."""
REST = 'the rest'


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--size', type=int, default=64, metavar='N', help='pixels a side (default: %(default)s)')
    parser.add_argument('--frames', type=int, default=6, help='frames of the clip (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=3, help='profiled calls (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='F', help='write the record there')
    args = parser.parse_args()
    for name in ('size', 'frames', 'rounds'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} is at least 1')
    return args


def main() -> None:
    args = parse_args()
    import torch

    from vrtspike.benchmarking.pairs import load_average
    from vrtspike.models import VRT
    from vrtspike.native.allocator import allocate_tensors_with_malloc, keep_freed_memory
    from vrtspike.runtime.environment import describe_environment

    keep_freed_memory()
    allocate_tensors_with_malloc()
    device = torch.device('cpu')
    model, clip = make_network(VRT, device).eval(), clip_of(args.frames, args.size, device)
    record = {'kind': 'operators', **describe_environment(device), 'frames': args.frames, 'size': args.size, 'rows': []}
    for precision in PRECISIONS:
        step(model, clip, False, precision)
        rounds = [milliseconds_by_kind(model, clip, precision) for _ in range(args.rounds)]
        ms = {kind: round(statistics.median(each[kind] for each in rounds), 1) for kind in (*KINDS, REST)}
        record['rows'].append({'precision': precision, 'ms': ms, 'load_average': load_average()})
        print(f'{precision}: {sum(ms.values()):,.0f} ms')
        for kind, value in ms.items():
            print(f'  {kind:20}{value:10,.0f} ms {100 * value / sum(ms.values()):6.1f} %')
    if args.json:
        write_json(args.json, record)


def milliseconds_by_kind(model: torch.nn.Module, clip: torch.Tensor, precision: str) -> dict[str, float]:
    """Return the milliseconds of one forward pass, by kind of operator."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step(model, clip, False, precision)
    return by_kind((each.key, each.self_cpu_time_total / 1e3) for each in profile.key_averages())


def by_kind(operators: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the sums of times of operators, given by name, for every kind."""
    found = defaultdict(float)
    for name, ms in operators:
        kind = next((kind for kind, pattern in KINDS.items() if re.match(pattern, name)), REST)
        found[kind] += ms
    return found


if __name__ == '__main__':
    run_tool(main)
