"""Values of the configs that are converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vrtspike.errors import ConfigError

Flat = Mapping[str, Any]
"""A config by dotted keys, such as ``TRAIN.OPTIM.LR``."""


def flatten(node: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested mappings."""
    for key, value in node.items():
        path = f'{prefix}{key}'
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f'{path}.')
        else:
            yield path, value


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'int': ('an integer', is_integer),
    'float': ('a number', lambda value: is_integer(value) or isinstance(value, float)),
    'bool': ('true or false', lambda value: isinstance(value, bool)),
    'text': ('text', lambda value: isinstance(value, str)),
    'texts': (
        'a list of names',
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    ),
    'ints': ('a list of integers', lambda value: isinstance(value, list) and all(map(is_integer, value))),
}
"""By kind of value: its name in messages, and the function that checks it."""


def value_of(kind: str, key: str, value: Any, notes: list[str]) -> Any:
    """Return ``value`` as one of :data:`KINDS`.

    Numbers that YAML reads as text, such as ``1e-4``, are converted, and ``notes`` says so.

    Raises:
        ConfigError: The value is of another kind.
    """
    if kind in ('int', 'float') and isinstance(value, str):
        text, value = value, _number_in(value, kind)
        notes.append(f'{key}: YAML reads {text} as text; taken as the number {value:g}')
    expected, fits = KINDS[kind]
    if not fits(value):
        raise ConfigError(f'expected {expected}, found {value!r}')
    return float(value) if kind == 'float' else value


def _number_in(text: str, kind: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f'expected a number, found {text!r}') from None
    return int(number) if kind == 'int' and number.is_integer() else number


def integer_at(flat: Flat, key: str, default: int) -> int:
    """Return the integer of another key of the config, or ``default`` if it is missing.

    Raises:
        ConfigError: The value is not an integer. The message names the key.
    """
    try:
        return value_of('int', key, flat.get(key, default), [])
    except ConfigError as error:
        raise ConfigError(f'{key}: {error}') from error
