"""List the parts that a config can name, by registry, with the contract of each registry.

Examples:
  python tools/list_modules.py
  python tools/list_modules.py --registry FUSION_HEADS --plugins my_head
  python tools/list_modules.py --registry HOOKS --all
  python tools/list_modules.py --json > modules.json
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from typing import TYPE_CHECKING

import msgspec

from vrtspike.cli import add_plugins_argument, run_tool, tool_parser

if TYPE_CHECKING:
    from mmengine.registry import Registry as MMEngineRegistry

    from vrtspike.contracts import Registry


class Listing(msgspec.Struct):
    """A registry; each of its modules has ``name``, ``class``, ``module`` and ``doc``, the first paragraph."""

    name: str
    contract: str
    modules: list[dict[str, str]]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--registry', metavar='NAME', help='list this one only, as in FUSION_HEADS')
    parser.add_argument('--all', action='store_true', help='also list the parts of MMEngine that can be used')
    parser.add_argument('--json', action='store_true', help='print JSON: {registry: {name, contract, modules}}')
    add_plugins_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.plugins import load_plugins

    load_plugins(args.plugins)
    listing = {name: describe(registry, args.all) for name, registry in chosen(args.registry).items()}
    if args.json:
        print(json.dumps(msgspec.to_builtins(listing), indent=2))
    else:
        show(listing)


def chosen(name: str | None) -> dict[str, Registry]:
    """Return the registries to list, by the name they have in ``vrtspike.registry``."""
    from vrtspike import registry
    from vrtspike.errors import RegistryError, did_you_mean

    registries = {key: value for key, value in vars(registry).items() if isinstance(value, registry.Registry)}
    if name is None:
        return registries
    if name.upper() not in registries:
        raise RegistryError(f"there is no registry '{name}'{did_you_mean(name, registries)}")
    return {name.upper(): registries[name.upper()]}


def describe(registry: Registry, inherited: bool) -> Listing:
    """List a registry, with the parts of MMEngine's registry if ``inherited``."""
    modules = parts(registry)
    if inherited and registry.parent is not None:
        import mmengine.runner  # noqa: F401  registers MMEngine's own parts

        modules = {**parts(registry.parent), **modules}
    entries = [describe_part(name, part) for name, part in sorted(modules.items())]
    return Listing(registry.name, registry.contract.text, entries)


def parts(registry: MMEngineRegistry) -> dict[str, type]:
    registry.import_from_location()
    return registry.module_dict


def describe_part(name: str, part: type) -> dict[str, str]:
    doc = inspect.getdoc(part) or ''
    return {
        'name': name,
        'class': part.__qualname__,
        'module': part.__module__,
        'doc': ' '.join(doc.partition('\n\n')[0].split()),
    }


def show(listing: dict[str, Listing]) -> None:
    """Print one table per registry."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # In a file or a pipe, lines need not fit the width of a screen.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    for variable, registry in listing.items():
        console.print(f'[bold]{variable}[/bold] ({registry.name}): {escape(registry.contract)}', soft_wrap=True)
        table = Table(box=None, header_style='dim', padding=(0, 2))
        for column in ('name', 'class', 'module', 'doc'):
            table.add_column(column, overflow='fold')
        for module in registry.modules:
            table.add_row(*(escape(module[column.header]) for column in table.columns))
        console.print(table if registry.modules else '  nothing is registered')
        console.print()


if __name__ == '__main__':
    run_tool(main)
