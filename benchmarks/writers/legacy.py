"""What each key of the earlier code's YAML configs became, in docs/migration.md, from the rules of conversion.

A rule is asked by giving it values until it takes one; what it then sets, leaves out or calls dead is the row.
"""

from __future__ import annotations

from pathlib import Path

from vrtspike.config.legacy import RULES, Conversion
from vrtspike.errors import ConfigError
from writers.places import Place
from writers.wording import table

VALUES = (3, False, True, 'x', [0.9, 0.99], [8] * 8, [1, 1, 1], [2, 2, 2], 'spike', 'adamw', 'cosine')
"""One of them is allowed for every key."""


def places(root: Path) -> list[Place]:
    rows = [(f'`{key}`', counterpart(key)) for key in RULES]
    return [Place('docs/migration.md', 'legacy', table([('earlier key', 'here'), *rows], 'll'))]


def counterpart(key: str) -> str:
    """Return what became of a key, in words."""
    outcomes = [conversion for value in VALUES if (conversion := outcome(key, value)) is not None]
    if not outcomes:
        raise AssertionError(f'no value of {VALUES} is allowed for {key}: add one')
    told = next((each for each in outcomes if each.overrides or each.without_effect or each.left_out), None)
    if told is None:
        return f'{allowed(key)}: no other value has a counterpart' if allowed(key) else 'read with its neighbours'
    words = ['had no effect'] if told.without_effect else []
    words += [', '.join(f'`{name}`' for name in told.overrides)] if told.overrides else []
    words += [text.partition(': ')[2] for text in told.left_out]
    return '; '.join(words)


def outcome(key: str, value: object) -> Conversion | None:
    """Return what a value of a key converts to; None where it is not allowed."""
    conversion = Conversion()
    try:
        RULES[key](key, value, conversion, {key: value})
    except ConfigError:
        return None
    return conversion


def allowed(key: str) -> str:
    """Return the values that a key is restricted to, as its error names them; empty where it is not."""
    try:
        RULES[key](key, object(), Conversion(), {})
    except ConfigError as error:
        return str(error).partition(' has a counterpart')[0]
    return ''
