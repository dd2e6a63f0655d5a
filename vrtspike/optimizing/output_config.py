"""The config that comes out: what differs from the user's, each line with what it was measured to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vrtspike.config.difference import code
from vrtspike.files import written_aside
from vrtspike.optimizing.remedies import Overrides
from vrtspike.optimizing.search import Trial


def write_optimized(path: Path, base: str, kept: Overrides, steps: list[Trial], heading: str) -> None:
    """Write the config.

    Args:
        path: The file.
        base: The user's config.
        kept: The overrides to apply.
        steps: Of :func:`vrtspike.optimizing.search.combine`: whose ``overrides`` came with which remedy.
        heading: The docstring.
    """
    relative = os.path.relpath(Path(base).resolve(), path.parent.resolve())
    lines = [f'"""{heading}"""', '', f'_base_ = {relative!r}']
    reasons = reasons_of(steps)
    for key, value in nested(kept).items():
        said = dict.fromkeys(reasons[dotted] for dotted in kept if dotted.split('.')[0] == key and dotted in reasons)
        lines += [f'# {reason}' for reason in said]
        lines.append(f'{key} = {code(value, len(key) + 3)}')
    with written_aside(path) as aside:
        aside.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def reasons_of(steps: list[Trial]) -> dict[str, str]:
    """Return by dotted key the remedy that set it and what was measured with it."""
    reasons: dict[str, str] = {}
    for step in steps:
        if not step['kept']:
            continue
        low, high = step['interval']
        reason = f'{step["added"]}: {step["saving"]:+.0%} of the time saved in all ({low:+.0%} to {high:+.0%})'
        if step.get('difference_db'):
            reason += f', {step["difference_db"]["mean"]:+.2f} dB alone'
        for key in step['overrides']:
            reasons.setdefault(key, reason)
    return reasons


def nested(overrides: Overrides) -> dict[str, Any]:
    """Return dotted keys as nested dicts."""
    root: dict[str, Any] = {}
    for key, value in overrides.items():
        node = root
        *path, last = key.split('.')
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value
    return root
