"""Convert a config of other code to a config of this project: its difference from our baseline.

CONFIG is a YAML config of the earlier VRT-Spike code, or options of KAIR or S-VRT (JSON with comments, or YAML).
Reports which keys were changed and which have no counterpart here, with the nearest thing to use. Secrets and absolute
paths are never copied. A training in two phases becomes two configs, the second a child of the first.

Examples:
  python tools/convert_config.py vrt_spike_baseline.yaml
  python tools/convert_config.py old/vrt_spike_fast.yaml --out configs/my_fast.py
  python tools/convert_config.py S-VRT/options/gopro_rgbspike_server.json --out configs/my_svrt.py
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import run_tool, tool_parser

if TYPE_CHECKING:
    from vrtspike.config.conversion.rules import Conversion

BASELINE = Path(__file__).resolve().parents[1] / 'configs' / 'vrt_spike_baseline.py'


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', metavar='CONFIG', help='a YAML config, or options of KAIR or S-VRT')
    parser.add_argument('--out', metavar='FILE', help='the new config (default: beside the old one, with .py)')
    parser.add_argument('--force', action='store_true', help='overwrite an existing file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.errors import ConfigError
    from vrtspike.runtime.atomic_write import atomic_write

    old, new = Path(args.config), Path(args.out or Path(args.config).with_suffix('.py'))
    conversions = conversions_of(old)
    targets = [new, new.with_name(f'{new.stem}_phase2{new.suffix}')][: len(conversions)]
    for path in targets:
        if path.exists() and not args.force:
            raise ConfigError(f'{path} exists; give another --out, or --force to overwrite it')
    said: set[str] = set()
    for base, path, conversion in zip([BASELINE, *targets], targets, conversions, strict=False):
        with atomic_write(path) as temporary:
            text = child_of(base, conversion.overrides, path, f'Converted from {old.name}.')
            temporary.write_text(text, encoding='utf-8')
            check(temporary)
        report(conversion, path, said)
    if len(targets) > 1:
        print(f'train {targets[0]}, then {targets[1]} with --load-from and the last checkpoint of the first')


def conversions_of(path: Path) -> list[Conversion]:
    """Return the conversion of every phase of a training."""
    from vrtspike.config.kair import convert_options, is_options, read_options
    from vrtspike.config.legacy import convert_legacy, read_legacy
    from vrtspike.errors import ConfigError

    values, twice = read_options(path) if path.suffix == '.json' else (read_legacy(path), [])
    try:
        conversions = convert_options(values) if is_options(values) else [convert_legacy(values)]
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
    conversions[0].notes += [f'{name}: is there twice; the last one counts' for name in twice]
    return conversions


def child_of(base: Path, overrides: dict, new: Path, heading: str) -> str:
    """Return the text of a config that inherits ``base``."""
    from vrtspike.config import read_config
    from vrtspike.config.difference import child_text, difference

    inherited = read_config(base)
    changed = copy.deepcopy(inherited)
    changed.merge_from_dict(overrides)
    base_path = Path(os.path.relpath(base, new.resolve().parent)).as_posix()
    nodes = difference(inherited._cfg_dict.to_dict(), changed._cfg_dict.to_dict())
    return child_text(base_path, nodes, f'{heading}\n\npython tools/train.py {new.as_posix()}\n')


def check(path: Path) -> None:
    """Raise :class:`ConfigError` unless the written config is one that can be trained."""
    from vrtspike.config import load_config
    from vrtspike.engine.training import check_schedules

    check_schedules(load_config(path))


def report(conversion: Conversion, new: Path, said: set[str]) -> None:
    """Print what became of the old keys, except for lines that were ``said`` about an earlier phase."""
    print(f'wrote {new}')
    for heading, lines in (
        ('changed', conversion.notes),
        ('left out', conversion.left_out),
        ('never had an effect in the earlier code', conversion.without_effect),
    ):
        lines = [line for line in lines if line not in said]
        said.update(lines)
        if lines:
            print('\n  '.join([f'{heading}:', *lines]))
    sys.stdout.flush()


if __name__ == '__main__':
    run_tool(main)
