"""Count what a training iteration of a config would do on a GPU, without one: launches, bytes, casts, copies, waits and
memory.

It runs on fake tensors, which have shapes but no values. Counts are exact for the operators that run. The times
come from a model (bytes / 2.7 TB/s or FLOPs / rate, and 2 microseconds a launch), so call them "on paper": nothing ran
on a GPU. This needs Linux, a CPU build of PyTorch and a C++ compiler.

Examples:
    python benchmarks/on_paper.py configs/vrt_spike_tiny.py --shape 1 5 64 64
    python benchmarks/on_paper.py configs/vrt_spike_fast.py --shape 1 5 256 256 --json fast.json
    python benchmarks/on_paper.py configs/vrt_spike_fast.py --backends deform_conv2d=triton
    python benchmarks/on_paper.py configs/vrt/006_vrt_videodeblurring_gopro.py --cfg-options \\
        optim_wrapper.type=DeviceAmpOptimWrapper
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import add_config_arguments, add_json_argument, config_arguments, run_tool, tool_parser, write_result

if TYPE_CHECKING:
    from vrtspike.benchmarking.fake_gpu.step import PaperCost, PaperStep


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    shape = dict(nargs=4, type=int, default=[1, 5, 256, 256], metavar=('B', 'T', 'H', 'W'))
    parser.add_argument('--shape', **shape, help='clips, frames, height and width of the batch (default: 1 5 256 256)')
    parser.add_argument(
        '--backends',
        nargs='+',
        default=[],
        metavar='OPERATOR=NAME',
        help='backends of operators, such as deform_conv2d=triton',
    )
    parser.add_argument(
        '--check', action='store_true', help='exit with 1 if the host waits, copies or computes besides launching'
    )
    add_json_argument(parser)
    args = parser.parse_args()
    if not all('=' in each for each in args.backends):
        parser.error(f'--backends takes OPERATOR=NAME, not {" ".join(args.backends)}')
    return args


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.fake_gpu.device import has_fake_gpu, restart_with_fake_gpu

    if not has_fake_gpu():
        restart_with_fake_gpu()

    import msgspec

    from vrtspike.benchmarking.fake_gpu.step import disturbances, step_on_paper
    from vrtspike.config import load_config
    from vrtspike.ops import use_backends
    from vrtspike.runtime.environment import commit, versions

    config = load_config(**config_arguments(args))
    with use_backends(**dict(each.split('=', 1) for each in args.backends)):
        step = step_on_paper(Path(args.config).stem, config, tuple(args.shape))
    chosen = {'overrides': args.cfg_options, 'backends': args.backends}
    provenance = {'kind': 'on_paper', 'versions': versions(), 'commit': commit(), **chosen}
    write_result({**provenance, 'step': msgspec.to_builtins(step)}, args.json)
    if args.json != '-':
        print(described(step))
    if args.check and (found := disturbances(step)):
        raise SystemExit('\n'.join(['The host does more than launch:', *found]))


def described(step: PaperStep) -> str:
    """Return a step as text."""
    lines = [
        f'{step.config}, {step.precision}, clips {" x ".join(map(str, step.shape))}, on paper',
        f'peak memory {step.peak_memory_mib:,.0f} MiB; {step.total.casts:,} casts move {step.total.cast_gb:.1f} GB',
        *(f'waits: {count} x {line}' for line, count in step.waits.items()),
        *(f'copies: {count} x {line}' for line, count in step.copies.items()),
        *(f'on the host: {count} x {name}' for name, count in step.host_operations.items()),
        *(f'attention: {count} x {kernel}' for kernel, count in step.attention.items()),
    ]
    groups = {
        'phase': step.phases,
        'stage': step.stages,
        'part': step.parts,
        'operator': step.operators,
        'line': step.lines,
    }
    tables = [table(heading, costs, step.total) for heading, costs in groups.items()]
    return '\n'.join([*lines, '', *tables])


def table(heading: str, costs: dict[str, PaperCost], total: PaperCost) -> str:
    """Return the most expensive rows of one grouping."""
    from vrtspike.reporting.table import Table

    def cells(cost: PaperCost) -> list[str]:
        return [f'{cost.launches:,}', f'{cost.gb:.1f}', f'{cost.tflops:.2f}', f'{cost.model_ms:.1f}']

    rows = [[name, *cells(cost)] for name, cost in list(costs.items())[:16]]
    columns = [heading, 'launches', 'GB', 'TFLOP', 'estimated ms']
    return Table(columns=columns, rows=rows, footer=['the step', *cells(total)]).text()


if __name__ == '__main__':
    run_tool(main)
