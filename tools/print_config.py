"""Print a config as it will be used: inheritance, overrides and plugins are resolved, and every key is checked.

The output is itself a config. Keys that could not be checked are listed on stderr.

Examples:
  python tools/print_config.py configs/vrt_spike_fast.py
  python tools/print_config.py configs/vrt_spike_fast.py --cpu --cfg-options train_cfg.max_iters=100
  python tools/print_config.py configs/vrt_spike_fast.py --diff-from configs/vrt_spike_baseline.py
"""

from __future__ import annotations

import argparse
import difflib
import sys

from vrtspike.cli import add_config_arguments, config_arguments, run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--cpu', action='store_true', help="apply the config's cpu_overrides, as training does on a CPU"
    )
    parser.add_argument('--diff-from', metavar='OTHER', help='print the differences from this config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.config import check_config, load_config

    config = load_config(**config_arguments(args), cpu_overrides=args.cpu)
    text = config.pretty_text
    if args.diff_from:
        other = load_config(args.diff_from, plugins=args.plugins, cpu_overrides=args.cpu)
        show(diff(other.pretty_text, text, args.diff_from, args.config), 'diff')
    else:
        show(text, 'python')
    for note in check_config(config).notes:
        print(f'note: {note}', file=sys.stderr)


def diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """Return the unified diff of two texts; empty if they are equal."""
    return '\n'.join(difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm=''))


def show(text: str, language: str) -> None:
    """Print ``text``, with its syntax highlighted on a terminal only."""
    if not sys.stdout.isatty():
        # Characters that stdout cannot encode are printed as escapes, which stand for the same values.
        print(text.rstrip('\n').encode(sys.stdout.encoding, 'backslashreplace').decode(sys.stdout.encoding))
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, language, background_color='default'))


if __name__ == '__main__':
    run_tool(main)
