"""Compare a training iteration of several configs: time, GMAC and peak memory.

The configs are interleaved in one process. Savings are medians of the ratios within a round, so that drift cancels. The
first config is the baseline. The table also shows the saving expected from the GMAC.

Examples:
  python tools/benchmark.py configs/vrt_spike_baseline.py configs/vrt_spike_opt.py configs/vrt_spike_fast.py
  python tools/benchmark.py configs/vrt_spike_baseline.py configs/vrt_spike_amp.py --shape 1 5 256 256 --json amp.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import (
    add_device_argument,
    add_plugins_argument,
    add_settings_argument,
    positive,
    run_tool,
    tool_parser,
)

if TYPE_CHECKING:
    from vrtspike.benchmarking.config_comparison import ConfigRow


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files; the first is the baseline')
    parser.add_argument(
        '--shape',
        nargs=4,
        type=positive(int),
        default=[1, 5, 64, 64],
        metavar=('B', 'T', 'H', 'W'),
        help='clips, frames, height and width (default: 1 5 64 64)',
    )
    parser.add_argument('--rounds', type=positive(int), default=5, help='timed iterations of each config (default: 5)')
    add_device_argument(parser)
    parser.add_argument('--no-memory', action='store_true', help='do not measure the peak memory')
    parser.add_argument('--stages', action='store_true', help='record the times of stages and parts too')
    parser.add_argument(
        '--json', type=Path, metavar='F', help='write the record to F (see benchmarks/speed.schema.json)'
    )
    add_settings_argument(parser, '--cfg-options', 'set dotted keys of all configs')
    add_plugins_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import msgspec

    from vrtspike.benchmarking.config_comparison import compare_configs
    from vrtspike.config import load_config
    from vrtspike.runtime.atomic_write import write_text
    from vrtspike.runtime.device import chosen_device
    from vrtspike.runtime.environment import describe_environment

    device = chosen_device(args.device)
    configs = {path: load_config(path, overrides=args.cfg_options, plugins=args.plugins) for path in args.configs}
    rows = compare_configs(configs, tuple(args.shape), args.rounds, device, not args.no_memory, args.stages)
    record = {'kind': 'configs', **describe_environment(device), 'shape': args.shape, 'rows': msgspec.to_builtins(rows)}
    if args.json:
        write_text(args.json, as_json(record))
    print(as_table(rows, args.shape))


def as_json(record: dict) -> str:
    """Return the record as JSON with lists of numbers on one line."""
    text = json.dumps(record, indent=2)
    return re.sub(r'\[\s+([-\d.e,\s]+?)\s+\]', lambda found: f'[{" ".join(found[1].split())}]', text) + '\n'


def as_table(rows: list[ConfigRow], shape: list[int]) -> str:
    """Return the rows as a table."""
    from vrtspike.reporting.table import Table

    title = f'one training iteration, {" x ".join(map(str, shape))} (clips, frames, height, width)'
    columns = ['config', 'GMAC', 'ms', 'spread', 'saving expected', 'saving measured', 'peak MiB']
    cells = [
        (
            row.config,
            f'{row.gmacs:.1f}',
            f'{row.step_ms.median:.0f}',
            f'{row.step_ms.iqr_share:.0%}',
            f'{row.expected_saving_share:+.0%}',
            f'{row.saving_share:+.0%}',
            None if row.peak_memory_mib is None else f'{row.peak_memory_mib:.0f}',
        )
        for row in rows
    ]
    return Table(title=title, columns=columns, rows=cells).text()


if __name__ == '__main__':
    run_tool(main)
