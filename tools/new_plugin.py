"""Write a working plugin: a module with a minimal part, a config, a test that passes and a README.

Kinds: fusion, tsa, spike_encoder, representation, hook.

Examples:
  python tools/new_plugin.py fusion my_head
  python tools/new_plugin.py hook my_hook --into ~/experiments
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('kind', help='what the plugin adds')
    parser.add_argument('name', help='name of the plugin in snake_case; its class gets this name in CamelCase')
    parser.add_argument('--into', type=Path, metavar='FOLDER', help='where to write it (default: plugins/)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.scaffolding import write_plugin

    files = write_plugin(args.kind, args.name, args.into)
    for file in files:
        print(f'wrote {file}')
    folder = files[0].parent
    print(f'\nNext:\n  python -m pytest {folder}\n  python tools/train.py {folder}/config.py')


if __name__ == '__main__':
    run_tool(main)
