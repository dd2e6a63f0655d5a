"""The config that comes out: what differs from the user's, each line with what it was measured to do."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vrtspike.config.difference import WIDTH, code, difference
from vrtspike.config.reading import read_config
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.tuner.candidates import Overrides
from vrtspike.tuner.search import Trial, is_known

GIVEN = 'as the command line said'


def write_child(path: Path, base: str, overrides: Overrides, reasons: Mapping[str, str], heading: str) -> str:
    """Write a config that inherits the file ``base`` and sets what ``overrides`` change; return its text.

    What the base's ``cpu_overrides`` would set back on a CPU is set among these too.

    Args:
        path: The file to write.
        base: The config that it inherits.
        overrides: Dotted keys and values.
        reasons: By dotted key: the comment above it.
        heading: The docstring.
    """
    before, after = read_config(base), read_config(base)
    after.merge_from_dict(overrides)
    set_back = {key: value for key, value in overrides.items() if key in (before.get('cpu_overrides') or {})}
    if set_back:
        after.merge_from_dict({'cpu_overrides': set_back})
        reasons = {**reasons, **{f'cpu_overrides.{key}': reasons[key] for key in set_back if key in reasons}}
    nodes = difference(before._cfg_dict.to_dict(), after._cfg_dict.to_dict())
    relative = os.path.relpath(Path(base).resolve(), path.parent.resolve())
    text = '\n'.join([f'"""{heading}"""', '', f'_base_ = {relative!r}', *commented(nodes, reasons), ''])
    with written_aside(path) as aside:
        aside.write_text(text, encoding='utf-8')
    return text


def commented(nodes: Mapping[str, Any], reasons: Mapping[str, str], prefix: str = '', indent: int = 0) -> Iterator[str]:
    """Yield the lines of ``nodes``, each value below the comments on it, and none of them twice."""
    space, equals, comma = ' ' * indent, ('=' if prefix else ' = '), (',' if prefix else '')
    last = None
    for key, value in nodes.items():
        dotted = f'{prefix}{key}'
        if opens(value) and any(reason.startswith(f'{dotted}.') for reason in reasons):
            yield f'{space}{key}{equals}dict('
            yield from commented(value, reasons, f'{dotted}.', indent + 4)
            yield f'{space}){comma}'
            continue
        said = [reason for of, reason in reasons.items() if concerns(of, dotted)]
        if said != last:
            for reason in dict.fromkeys(said):
                yield from textwrap.wrap(reason, WIDTH - indent, initial_indent=f'{space}# ',
                                         subsequent_indent=f'{space}# ')  # fmt: skip
        last = said
        yield f'{space}{key}{equals}{code(value, indent + len(key) + len(equals), indent)}{comma}'


def opens(value: Any) -> bool:
    """Whether a node is written one key a line: a dict that is merged, with names for keys."""
    return isinstance(value, dict) and '_delete_' not in value and all(str(key).isidentifier() for key in value)


def concerns(of: str, dotted: str) -> bool:
    """Whether a reason for the key ``of`` is one for the node ``dotted``: the same, or one inside the other."""
    return of == dotted or of.startswith(f'{dotted}.') or dotted.startswith(f'{of}.')


def reasons_of(kept: Sequence[Trial]) -> dict[str, str]:
    """Return by dotted key what the remedy that sets it was measured to do."""
    reasons: dict[str, str] = {}
    for trial in kept:
        low, high = trial['interval']
        reason = f'{trial["name"]}: {trial["saving"]:+.0%} of the time saved alone ({low:+.0%} to {high:+.0%})'
        if trial['saving'] <= 0 and not trial.get('step'):  # what it was taken for instead
            reason += f', {trial["peak_memory_mib"]:.0f} MiB'
        found = trial.get('difference_db')
        if is_known(found):
            reason += f', {found["mean"]:+.2f} dB [{found["low"]:+.2f}, {found["high"]:+.2f}]'
        elif trial['kind'] == 'exact':
            reason += ', the same function'
        if trial.get('step'):  # it was trained with what had been kept before
            step, together = trial['step'], trial['step']['difference_db']
            beside = f', with {", ".join(step["parts"][:-1])} {step["saving"]:+.0%}' if step['parts'][1:] else ''
            reason += f'{beside}, {together["mean"]:+.2f} dB [{together["low"]:+.2f}, {together["high"]:+.2f}]'
        reasons |= dict.fromkeys(trial['overrides'], reason)
    return reasons
