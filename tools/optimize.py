"""Find a faster config of a network by measurement, and write a performance guide of the findings.

Profiles the config and measures candidates one at a time, those that compute the same function first. Trains candidates
that change the network to measure their loss of PSNR. Combines the candidates that help, and writes report.md,
report.zh-CN.md, report.html, report.json, every trial and <name>_optimized.py into the work dir. The same command
continues a search that was stopped, and measures nothing twice.

Examples:
  python tools/optimize.py configs/vrt_spike_baseline.py
  python tools/optimize.py configs/vrt_spike_tiny.py --minutes 120 --max-loss-db 0.1 --seeds 0 1 2
  python tools/optimize.py configs/vrt_spike_baseline.py --data type=ProcessedClips root=/path/to/clips --memory-gib 24
  python tools/optimize.py configs/vrt_spike_baseline.py --objective infer --minutes 10
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from vrtspike.cli import (
    add_config_arguments,
    add_settings_argument,
    end_as_interrupted,
    positive,
    run_tool,
    tool_parser,
)
from vrtspike.errors import ConfigError


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    add_settings_argument(parser, '--data', "the data set, as in type=GoProSpike root=/path (default: the config's)")
    parser.add_argument('--minutes', type=positive(float), default=30.0, help='budget of the search (default: 30)')
    parser.add_argument(
        '--max-loss-db', type=float, default=0.3, metavar='DB', help='largest accepted loss of PSNR (default: 0.3)'
    )
    parser.add_argument('--memory-gib', type=positive(float), metavar='M', help='memory limit of an iteration')
    parser.add_argument('--objective', choices=['train', 'infer'], default='train', help='what to make faster')
    parser.add_argument(
        '--iterations',
        type=positive(int),
        metavar='N',
        help="iterations of each training that measures PSNR (default: the config's)",
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N', help='seeds of these trainings (default: 0 1 2)'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        metavar='D',
        help='folder of the search (default: work_dirs/optimize_<config>, or work_dirs/optimize_<config>_infer)',
    )
    parser.add_argument('--no-cpu-overrides', action='store_true', help='measure in full size, even without a GPU')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.max_loss_db < 0:
        raise ConfigError(f'--max-loss-db {args.max_loss_db:g} is negative; a loss is given as a positive number')
    end_as_interrupted()
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from vrtspike.tuner.record import SearchOptions
    from vrtspike.tuner.report import markdown
    from vrtspike.tuner.run import optimize

    options = SearchOptions(
        config_path=args.config,
        shared_overrides={**args.cfg_options, **{f'data.{key}': value for key, value in args.data.items()}},
        plugins=args.plugins,
        minutes=args.minutes,
        max_loss_db=args.max_loss_db,
        memory_gib=args.memory_gib,
        objective=args.objective,
        iterations=args.iterations,
        seeds=list(dict.fromkeys(args.seeds)),
        folder=str(args.work_dir or default_folder(args.config, args.objective)),
        full_length=args.no_cpu_overrides,
        command=['python', 'tools/optimize.py', *sys.argv[1:]],
    )
    with Progress(SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn()) as progress:
        task = progress.add_task('', total=None)
        found = optimize(options, Path(__file__).with_name('train.py'), announcer(progress, task))
    print(markdown(found, 'en'))
    print(f'Written to {options.folder}')


def default_folder(config: str, objective: str) -> Path:
    """Return the folder of a search. It depends on the objective, so that searches do not overwrite each other."""
    return Path('work_dirs', f'optimize_{Path(config).stem}{"_infer" if objective == "infer" else ""}')


def announcer(progress: Any, task: Any) -> Any:
    """Return a function that shows the current activity: on a terminal's progress line, or line by line in a file."""
    if progress.console.is_terminal:
        return lambda text: progress.update(task, description=text, refresh=True)
    return lambda text: print(datetime.now().strftime('%H:%M:%S'), text, file=sys.stderr, flush=True)


if __name__ == '__main__':
    run_tool(main)
