"""Convert a YAML config of the earlier VRT-Spike code to a config of this project: its difference from our baseline.

Reports which keys never had an effect, have no counterpart here or were corrected. If a key is unknown, nothing is
written.

Examples:
  python tools/convert_config.py vrt_spike_baseline.yaml
  python tools/convert_config.py old/vrt_spike_fast.yaml --out configs/my_fast.py
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser

BASELINE = Path(__file__).resolve().parents[1] / 'configs' / 'vrt_spike_baseline.py'


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', metavar='YAML', help='a config of the earlier code')
    parser.add_argument('--out', metavar='FILE', help='the new config (default: beside the old one, with .py)')
    parser.add_argument('--force', action='store_true', help='overwrite an existing file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.config.legacy import convert_legacy, read_legacy
    from vrtspike.errors import ConfigError
    from vrtspike.runtime.atomic_write import atomic_write

    old, new = Path(args.config), Path(args.out or Path(args.config).with_suffix('.py'))
    if new.exists() and not args.force:
        raise ConfigError(f'{new} exists; give another --out, or --force to overwrite it')
    try:
        conversion = convert_legacy(read_legacy(old))
    except ConfigError as error:
        raise ConfigError(f'{old}: {error}') from error
    with atomic_write(new) as temporary:
        temporary.write_text(child_of_baseline(conversion.overrides, old, new), encoding='utf-8')
        check(temporary)
    report(conversion, new)


def child_of_baseline(overrides: dict, old: Path, new: Path) -> str:
    """Return the text of the new config."""
    from vrtspike.config import read_config
    from vrtspike.config.difference import child_text, difference

    baseline = read_config(BASELINE)
    changed = copy.deepcopy(baseline)
    changed.merge_from_dict(overrides)
    base_path = Path(os.path.relpath(BASELINE, new.resolve().parent)).as_posix()
    nodes = difference(baseline._cfg_dict.to_dict(), changed._cfg_dict.to_dict())
    return child_text(base_path, nodes, f'Converted from {old.name}.\n\npython tools/train.py {new.as_posix()}\n')


def check(path: Path) -> None:
    """Raise :class:`ConfigError` unless the written config is one that can be trained."""
    from vrtspike.config import load_config
    from vrtspike.engine.training import check_schedules

    check_schedules(load_config(path))


def report(conversion, new: Path) -> None:
    """Print what became of the old keys."""
    print(f'wrote {new}')
    for heading, lines in (
        ('changed', conversion.notes),
        ('left out', conversion.left_out),
        ('never had an effect in the earlier code', conversion.without_effect),
    ):
        if lines:
            print('\n  '.join([f'{heading}:', *lines]))
    sys.stdout.flush()


if __name__ == '__main__':
    run_tool(main)
