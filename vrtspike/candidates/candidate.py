"""One change of a config that may make it cheaper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from vrtspike.config.difference import code

Overrides = dict[str, Any]
"""Dotted keys of a config, and their values."""

KINDS = EXACT, PRECISION, CHANGES = 'exact', 'precision', 'changes'
"""Computes the same function; computes it in lower precision; computes the function of another network."""


class Purpose(Enum):
    """What a candidate is for."""

    STEP_TIME = 'step time'
    """Makes a step faster, so that timing a step shows what it saves."""
    MEMORY = 'memory'
    """Makes a step that does not fit into memory fit."""
    TRAINING = 'training'
    """Makes a training cheaper in ways that a timed step cannot show, such as larger batches."""


class Candidate(msgspec.Struct, frozen=True):
    """One change of a config that may make it cheaper.

    Args:
        name: Its name in reports.
        kind: :data:`EXACT`, :data:`PRECISION` or :data:`CHANGES`.
        overrides: What it sets in the config.
        stages: Regular expression of the stages that it can make cheaper.
        purpose: What it makes cheaper.
        resumable: Whether a checkpoint from before the change can be resumed with it.
        unavailable: Why it cannot be used here, as a key of the report's template; empty if it can.
        slow_to_measure: Whether measuring it takes minutes.
        note: A sentence for the user about its effect and its price; empty if the advice leaves it out.
    """

    name: str
    kind: str
    overrides: Overrides
    stages: str = '.*'
    purpose: Purpose = Purpose.STEP_TIME
    resumable: bool = True
    unavailable: str = ''
    slow_to_measure: bool = False
    note: str = ''

    def affects(self, stage: str) -> bool:
        """Return whether it can make a stage cheaper."""
        return re.fullmatch(self.stages, stage) is not None

    def largest_saving(self, shares: Mapping[str, float]) -> float:
        """Return the share of the iteration that it can save at most, from the share of each stage."""
        return sum(share for stage, share in shares.items() if self.affects(stage))


def is_set(config: Mapping[str, Any], overrides: Overrides) -> bool:
    """Return whether a config already has every value of ``overrides``."""
    return all(_same(value_at(config, key), value) for key, value in overrides.items())


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return dict(found) == {key: value for key, value in wanted.items() if key != '_delete_'}
    return found == wanted


def value_at(config: Any, key: str) -> Any:
    """Return a config's value at a dotted key; None if there is none."""
    node: Any = getattr(config, '_cfg_dict', config)
    for step in key.split('.'):
        if not isinstance(node, Mapping):
            return None
        node = node.get(step)
    return node


def overlap(one: str, other: str) -> bool:
    """Return whether two dotted keys name the same node, or one names a node inside the other."""
    return one == other or one.startswith(f'{other}.') or other.startswith(f'{one}.')


def config_lines(overrides: Overrides) -> list[str]:
    """Return the lines that set ``overrides`` in a config file with a parent, one for each top-level key.

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
