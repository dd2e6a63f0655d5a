"""Count multiply-accumulates, activations, memory traffic and parameters of a network by stage.

The network runs on tensors without values, so any size takes seconds and no memory. If its code reads values, it runs
on the CPU for a clip of at most 64 x 64 pixels, and a note says so.

Examples:
  python tools/get_flops.py configs/vrt_spike_fast.py
  python tools/get_flops.py configs/vrt_spike_baseline.py --shape 6 720 1280
  python tools/get_flops.py configs/vrt_spike_tiny.py --json tiny.json --cfg-options model.backbone.window_size=[5,8,8]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vrtspike.cli import (
    add_config_arguments,
    add_json_argument,
    config_arguments,
    positive,
    run_tool,
    tool_parser,
    write_result,
)

if TYPE_CHECKING:
    from vrtspike.profiling.flops import Costs


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--shape',
        nargs=3,
        type=positive(int),
        default=[5, 256, 256],
        metavar=('T', 'H', 'W'),
        help='frames, height and width of the clip (default: 5 256 256)',
    )
    parser.add_argument(
        '--spike-ratio',
        type=positive(float),
        default=2.0,
        metavar='R',
        help='height and width of the frames relative to those of the spikes (default: 2)',
    )
    add_json_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.restorer_costs import count_config
    from vrtspike.config import load_config
    from vrtspike.reporting.cost_tables import counted_costs_table

    costs = count_config(load_config(**config_arguments(args)).model, tuple(args.shape), args.spike_ratio)
    write_result(as_json(costs), args.json)
    if args.json != '-':
        print(counted_costs_table(costs).text())


def as_json(costs: Costs) -> dict:
    """Return the counts as ``--json`` gives them.

    Keys: ``shape`` (T, H, W) of the clip that was counted; ``total_gmacs``; ``parameters``; ``stages``, by name
    ``gmacs``, ``parameters``, ``activations_m`` (millions of values) and ``mib`` (read and written); ``uncounted_ops``,
    calls of operators without a rule, which make the sums lower bounds; ``elementwise_ops``, calls of operators without
    multiply-accumulates; ``note``, if the network could not be counted as asked for.
    """
    import msgspec

    return {
        'shape': list(costs.clip_shape),
        'total_gmacs': costs.total.macs / 1e9,
        'parameters': costs.total.parameters,
        'stages': msgspec.to_builtins(costs.counted()),
        'uncounted_ops': dict(costs.unknown),
        'elementwise_ops': dict(costs.elementwise),
        **({'note': costs.note} if costs.note else {}),
    }


if __name__ == '__main__':
    run_tool(main)
