"""Overrides as lines of a config file."""

from __future__ import annotations

from typing import Any

from vrtspike.candidates.candidate import Overrides
from vrtspike.config.difference import code


def config_lines(overrides: Overrides) -> list[str]:
    """Return what sets ``overrides`` in a config file that inherits another: one line for each top-level key.

    Dotted keys must not reach into lists.
    """
    nodes: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *path, last = dotted.split('.')
        node = nodes
        for key in path:
            node = node.setdefault(key, {})
        node[last] = value
    return [f'{key} = {code(value, len(key) + 3)}' for key, value in nodes.items()]
