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
from record_file import write_record

from vrtspike.cli import run_tool, tool_parser
from vrtspike.reporting.table import Column, Table
from vrtspike.runtime.environment import describe_environment

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.5
HELP_LIMIT_S = 1.0


class Startup(msgspec.Struct, frozen=True):
    """What one command took.

    Args:
        name: What the user runs.
        seconds: The shortest time.
        limit_s: The most it may take.
    """

    name: str
    seconds: float
    limit_s: float

    @property
    def too_slow(self) -> bool:
        """Whether the command took longer than it may."""
        return self.seconds > self.limit_s


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
    """Return by name each command and the seconds that it may take."""
    imports = {f'import {module}': ['-c', f'import {module}'] for module in ('vrtspike', 'vrtspike.analysis')}
    helps = {f'tools/{tool.name} --help': [str(tool), '--help'] for tool in sorted(ROOT.glob('tools/*.py'))}
    return {name: ([sys.executable, *arguments], IMPORT_LIMIT_S) for name, arguments in imports.items()} | {
        name: ([sys.executable, *arguments], HELP_LIMIT_S) for name, arguments in helps.items()
    }


def run_seconds(command: Sequence[str]) -> float:
    """Run a command in the root of the checkout and return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(repeats: int, timer: Callable[[Sequence[str]], float] = run_seconds) -> list[Startup]:
    """Return the shortest of ``repeats`` times of every command.

    The commands take turns, so that a moment when the machine is busy does not hit all runs of one of them.

    Args:
        repeats: Runs of each command.
        timer: Runs a command and returns its seconds.
    """
    best: dict[str, float] = {}
    for _ in range(repeats):
        for name, (command, _) in commands().items():
            best[name] = min(timer(command), best.get(name, float('inf')))
    return [Startup(name, best[name], limit) for name, (_, limit) in commands().items()]


def startup_table(found: Sequence[Startup]) -> Table:
    """Return the times as a table; rows above their limit are marked."""
    return Table(
        title='Time to start',
        columns=['command', 'best s', 'limit s', Column('', 'left')],
        rows=[
            [each.name, f'{each.seconds:.2f}', f'{each.limit_s:.1f}', 'too slow' if each.too_slow else '']
            for each in found
        ],
        levels=['severe' if each.too_slow else '' for each in found],
    )


def main() -> None:
    args = parse_args()
    found = measure(args.repeats)
    print(startup_table(found).text())
    if args.out:
        record = {'repeats': args.repeats, 'commands': msgspec.to_builtins(found), **describe_environment('cpu')}
        write_record(args.out, record)
    if args.check and any(each.too_slow for each in found):
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
