"""Measure how long a user waits for ``import vrtspike`` and for the ``--help`` of every tool.

Every command runs several times, each time in a new process, and its shortest time counts: the others say more about
what else the machine does.

Examples:
    python benchmarks/startup.py
    python benchmarks/startup.py --check
    python benchmarks/startup.py --repeats 10 --out startup.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from vrtspike.cli import run_tool, tool_parser
from vrtspike.reporting.table import Column, Table
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.environment import describe_environment

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S, HELP_LIMIT_S = 0.5, 1.0


class Startup(msgspec.Struct):
    """A command, its shortest time, and the longest that is allowed."""

    name: str
    seconds: float
    limit_s: float

    @property
    def level(self) -> str:
        return 'severe' if self.seconds > self.limit_s else ''


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=5, help='runs of each command (%(default)s)')
    parser.add_argument('--check', action='store_true', help='exit with 1 if a command exceeds its limit')
    parser.add_argument('--out', type=Path, metavar='JSON', help='write a record there')
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error('--repeats is at least 1')
    return args


def commands() -> dict[str, tuple[list[str], float]]:
    """Return by name the arguments of Python in each command, and the seconds that it may take."""
    imports = {f'import {module}': ['-c', f'import {module}'] for module in ('vrtspike', 'vrtspike.analysis')}
    helps = {f'tools/{tool.name} --help': [str(tool), '--help'] for tool in sorted(ROOT.glob('tools/*.py'))}
    limits = ((imports, IMPORT_LIMIT_S), (helps, HELP_LIMIT_S))
    return {name: (arguments, limit) for group, limit in limits for name, arguments in group.items()}


def run_seconds(arguments: Sequence[str]) -> float:
    """Run Python in the root of the checkout and return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(repeats: int, timer: Callable[[Sequence[str]], float] = run_seconds) -> list[Startup]:
    """Return the shortest of ``repeats`` interleaved times of every command; ``timer`` returns one of them."""
    found = [Startup(name, float('inf'), limit) for name, (_, limit) in commands().items()]
    for _ in range(repeats):
        for each, (arguments, _) in zip(found, commands().values(), strict=True):
            each.seconds = min(each.seconds, timer(arguments))
    return found


def startup_table(found: Sequence[Startup]) -> Table:
    """Return the times as a table; rows above their limit are marked."""
    columns = ['command', 'best s', 'limit s', Column('', 'left')]
    rows = [[each.name, f'{each.seconds:.2f}', f'{each.limit_s:.1f}', each.level and 'too slow'] for each in found]
    return Table(title='Time to start', columns=columns, rows=rows, levels=[each.level for each in found])


def main() -> None:
    args = parse_args()
    found = measure(args.repeats)
    print(startup_table(found).text())
    if args.out:
        record = {'repeats': args.repeats, 'commands': msgspec.to_builtins(found), **describe_environment('cpu')}
        write_json(args.out, record)
    if args.check and any(each.level for each in found):
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
