"""Compare what activation checkpointing recomputes: by the four policies, and chosen for a memory budget.

A policy recomputes every attention, every MLP, both or none. Within a budget, `checkpointing='auto'` chooses every
attention and every MLP by itself. The budgets are shares of the way from what recomputing all saves to what recomputing
none saves. The peak memory of each setting is that of a process of its own; the times are interleaved in one process.
On CPUs, the time is that of the processor, all threads together, so that other processes disturb it little. Stochastic
depth is off: every iteration does the same.

With `--json F`, the record is written whenever something has been measured, and the same command goes on where it
ended.

Examples:
    python benchmarks/recompute.py
    python benchmarks/recompute.py --json benchmarks/records/speed/recompute_cpu.json
    python benchmarks/recompute.py --config configs/vrt/006_vrt_videodeblurring_gopro.py --shape 1 6 64 64 --rounds 2
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vrtspike.cli import add_device_argument, run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

    from vrtspike.benchmarking.training_step import TrainingStep
    from vrtspike.models.layers.branch_costs import Branch, BranchCost


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A setting and what was measured of it so far.

    Args:
        row: Its name.
        backbone: What the config of the backbone says.
        branches: A digit for each, attention and MLP of one block after another: 1 if it is recomputed.
        saved_mib: Activations that the branches should save for the backward pass.
        expected_ms: Time that recomputing them should take in one iteration.
        peak_memory_mib: Of a process that trains one iteration; None if not measured yet.
        times_ms: Of iterations, one per round.
        load_average: Of the machine after each.
    """

    row: str
    backbone: dict[str, str | float]
    branches: str
    saved_mib: float
    expected_ms: float
    peak_memory_mib: float | None = None
    times_ms: list[float] = []
    load_average: list[float] = []


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--config', default='configs/vrt_spike_baseline.py', help='(default: %(default)s)')
    shape = dict(nargs=4, type=int, default=[1, 5, 48, 48], metavar=('B', 'T', 'H', 'W'))
    parser.add_argument('--shape', **shape, help='clips, frames, height and width of the batch (default: 1 5 48 48)')
    parser.add_argument(
        '--budgets',
        nargs='+',
        type=float,
        default=[0.75, 0.5, 0.25],
        metavar='SHARE',
        help='from 0, what recomputing all saves, to 1, what recomputing none saves (default: %(default)s)',
    )
    parser.add_argument('--rounds', type=int, default=3, help='timed iterations of each (default: %(default)s)')
    add_device_argument(parser)
    parser.add_argument('--json', type=Path, metavar='F', help='write the record there, or go on with it')
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error('--rounds is at least 1')
    if not all(0 <= share <= 1 for share in args.budgets):
        parser.error('--budgets takes shares from 0 to 1')
    return args


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.training_step import training_step
    from vrtspike.config import load_config
    from vrtspike.native.allocator import keep_freed_memory
    from vrtspike.runtime.device import chosen_device
    from vrtspike.runtime.environment import describe_environment

    keep_freed_memory()
    device = chosen_device(args.device)
    config = load_config(
        args.config, overrides={'model.backbone.drop_path_rate': 0.0, 'model.backbone.checkpointing': 'none'}
    )
    step = training_step(config, tuple(args.shape), device)
    branches = branches_at(step, tuple(args.shape))
    described = {'kind': 'recompute', **describe_environment(device), 'config': args.config, 'shape': args.shape}
    described['budgets'] = args.budgets
    rows = begun(args.json, described) or settings(step, branches, args.budgets)

    def save() -> None:
        if args.json:
            write_json(args.json, described | {'rows': msgspec.to_builtins(rows)})

    measure_peaks(rows, config, tuple(args.shape), device, save)
    measure_times(rows, step, branches, args.rounds, save)
    print(table(rows))


def branches_at(step: TrainingStep, shape: tuple[int, ...]) -> list[Branch]:
    """Return the branches of the attention blocks for a batch of shape (B, T, H, W)."""
    from vrtspike.models.layers.branch_costs import branches_of

    with step.precision():
        return list(branches_of(step.model.backbone.attention_groups(step.inputs['blur']), shape))


def begun(path: Path | None, described: dict[str, object]) -> list[Row] | None:
    """Return the rows in a file if it is of the same code, machine, config, shape and budgets."""
    if path is None or not path.is_file():
        return None
    found = json.loads(path.read_text(encoding='utf-8'))
    same = all(found.get(key) == value for key, value in described.items())
    return msgspec.convert(found['rows'], list[Row]) if same else None


def settings(step: TrainingStep, branches: Sequence[Branch], shares: Sequence[float]) -> list[Row]:
    """Return a row for every policy and budget: what is recomputed, and what this should save and take."""
    from vrtspike.models.layers.branch_costs import branch_costs, timed
    from vrtspike.models.layers.checkpointing import POLICIES
    from vrtspike.models.layers.memory_fit import cheapest_that_fit
    from vrtspike.runtime.device import MIB

    with step.precision():
        costs = branch_costs(branches, step.inputs['blur'].device, timed)
    rows = []
    for policy, (attention, mlp) in POLICIES.items():
        recomputed = [attention if branch.name == 'attn' else mlp for branch in branches]
        rows.append(row_of(policy, {'checkpointing': policy}, costs, recomputed))
    most, least = rows[0].saved_mib, rows[-1].saved_mib
    for share in shares:
        budget = round(least + share * (most - least), 1)
        backbone = {'checkpointing': 'auto', 'checkpoint_budget_mib': budget}
        recomputed = cheapest_that_fit(costs, budget * MIB)
        rows.append(row_of(f'auto, {budget} MiB', backbone, costs, recomputed))
    return rows


def row_of(name: str, backbone: dict[str, str | float], costs: Sequence[BranchCost], recomputed: Sequence[bool]) -> Row:
    """Return a setting that recomputes some branches, with what they should save and take."""
    from vrtspike.runtime.device import MIB

    saved = work = 0.0
    for cost, chosen in zip(costs, recomputed, strict=True):
        saved += cost.input_bytes if chosen else cost.saved_bytes
        work += cost.work * chosen
    return Row(
        row=name,
        backbone=backbone,
        branches=''.join('01'[chosen] for chosen in recomputed),
        saved_mib=round(saved / MIB, 1),
        expected_ms=round(work, 1),
    )


def measure_peaks(
    rows: Sequence[Row], config: Config, shape: tuple[int, ...], device: torch.device, save: Callable[[], None]
) -> None:
    """Add the peak memory of a training iteration to every row that has none."""
    from vrtspike.benchmarking.peak_memory import memory_in_new_process

    for row in rows:
        if row.peak_memory_mib is None:
            config.model.backbone.update(row.backbone)
            row.peak_memory_mib = memory_in_new_process(config, shape, device)
            save()


def measure_times(
    rows: Sequence[Row], step: TrainingStep, branches: Sequence[Branch], rounds: int, save: Callable[[], None]
) -> None:
    """Add the milliseconds of iterations to every row until it has as many as there are rounds.

    Every round begins one row later.
    """
    from vrtspike.benchmarking.pairs import load_average
    from vrtspike.runtime.device import call_seconds, processor_seconds

    device = step.inputs['blur'].device
    seconds = processor_seconds if device.type == 'cpu' else functools.partial(call_seconds, device=device)
    done = len(rows[0].times_ms)

    def apply(row: Row) -> None:
        for branch, chosen in zip(branches, row.branches, strict=True):
            branch.apply(chosen == '1')

    for row in rows if done < rounds else ():  # kernels are compiled and chosen at their first call
        apply(row)
        step()
    for i in range(done, rounds):
        for row in (*rows[i % len(rows) :], *rows[: i % len(rows)]):
            apply(row)
            row.times_ms.append(round(1e3 * seconds(step), 1))
            row.load_average.append(load_average())
        save()


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    from vrtspike.reporting.table import Table

    columns = ['setting', 'recomputed', 'saved MiB', 'peak MiB', 'ms per iteration', 'expected more']
    cells = [
        [
            row.row,
            f'{row.branches.count("1")} of {len(row.branches)}',
            f'{row.saved_mib:,.0f}',
            f'{row.peak_memory_mib:,.0f}',
            f'{min(row.times_ms):,.0f}',
            f'{row.expected_ms:,.0f}',
        ]
        for row in rows
    ]
    return Table(columns=columns, rows=cells).text()


if __name__ == '__main__':
    run_tool(main)
