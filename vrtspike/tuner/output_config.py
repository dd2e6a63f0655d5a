"""The optimised config: its differences from the user's config, with the measurements of each as a comment."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vrtspike.candidates import Overrides
from vrtspike.candidates.candidate import overlap
from vrtspike.config.difference import WIDTH, code, difference
from vrtspike.config.reading import read_config
from vrtspike.runtime.atomic_write import write_text
from vrtspike.tuner.trials import Step, Trial, is_known

GIVEN = 'set on the command line'


def write_child(path: Path, base: str, overrides: Overrides, reasons: Mapping[str, str], heading: str) -> str:
    """Write a config that inherits the file ``base`` and differs from it by ``overrides``; return its text.

    Keys that the base's ``cpu_overrides`` change are set there too; otherwise they would be lost on a CPU.

    Args:
        path: The file to write.
        base: The config that it inherits.
        overrides: Dotted keys and values.
        reasons: The comment above each dotted key.
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
    write_text(path, text)
    return text


def commented(nodes: Mapping[str, Any], reasons: Mapping[str, str], prefix: str = '', indent: int = 0) -> Iterator[str]:
    """Yield the lines of ``nodes``, each value below its reasons; successive values with equal reasons share them."""
    space, equals, comma = ' ' * indent, ('=' if prefix else ' = '), (',' if prefix else '')
    last = None
    for key, value in nodes.items():
        dotted = f'{prefix}{key}'
        if has_own_lines(value) and any(reason.startswith(f'{dotted}.') for reason in reasons):
            yield f'{space}{key}{equals}dict('
            yield from commented(value, reasons, f'{dotted}.', indent + 4)
            yield f'{space}){comma}'
            continue
        comments = [reason for reason_key, reason in reasons.items() if overlap(reason_key, dotted)]
        if comments != last:
            for reason in dict.fromkeys(comments):
                mark = f'{space}# '
                yield from textwrap.wrap(reason, WIDTH - indent, initial_indent=mark, subsequent_indent=mark)
        last = comments
        yield f'{space}{key}{equals}{code(value, indent + len(key) + len(equals), indent)}{comma}'


def has_own_lines(value: Any) -> bool:
    """Return whether each key of a node can have a line of its own: a dict that is merged, with names for keys."""
    return isinstance(value, dict) and '_delete_' not in value and all(str(key).isidentifier() for key in value)


def reasons_of(kept: Sequence[Trial], trained_steps: Mapping[str, Step]) -> dict[str, str]:
    """Return the measurements of the trial that sets each dotted key.

    Args:
        kept: The trials.
        trained_steps: The steps that trained a trial with those kept before it, by the trial's name.
    """
    reasons: dict[str, str] = {}
    for trial in kept:
        reasons |= dict.fromkeys(trial.overrides, reason_of(trial, trained_steps.get(trial.name)))
    return reasons


def reason_of(trial: Trial, step: Step | None) -> str:
    """Return the measurements of a trial alone, and of the step that trained it with others."""
    saving, (low, high) = trial.result.saving, trial.result.interval
    reason = f'{trial.name}: {saving:+.0%} of the time saved alone ({low:+.0%} to {high:+.0%})'
    if saving <= 0 and step is None:  # it was taken for its memory
        reason += f', {trial.result.peak_memory_mib:.0f} MiB'
    if is_known(trial.difference_db):
        reason += f', {trial.difference_db.text(" dB")}'
    elif trial.is_exact:
        reason += ', the same function'
    if step:
        others = f', with {", ".join(step.parts[:-1])} {step.result.saving:+.0%}' if step.parts[1:] else ''
        reason += f'{others}, {step.difference.text(" dB")}'
    return reason
