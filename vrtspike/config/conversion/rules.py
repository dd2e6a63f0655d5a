"""The result of a conversion, and rules that several keys and formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vrtspike.config.conversion.values import Flat, value_of
from vrtspike.errors import ConfigError


class Conversion(msgspec.Struct, kw_only=True):
    """A config of other code, translated to this project's keys.

    Args:
        overrides: Dotted keys of our baseline and their values.
        notes: Values that were changed, and differences from the behaviour of the old code.
        without_effect: Keys that say nothing about a training here, such as those that the other code never used.
        left_out: Keys that did something and have no counterpart here, with what to use instead.
    """

    overrides: dict[str, Any] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)
    without_effect: list[str] = msgspec.field(default_factory=list)
    left_out: list[str] = msgspec.field(default_factory=list)

    def value_of(self, kind: str, key: str, value: Any) -> Any:
        """Return a value as one of :data:`~vrtspike.config.conversion.values.KINDS`; see there."""
        return value_of(kind, key, value, self.notes)

    def drop_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Drop the overrides that say what our baseline does anyway."""
        for key, default in defaults.items():
            if self.overrides.get(key) == default:
                del self.overrides[key]


Rule = Callable[[str, Any, Conversion, Flat], None]
"""Translates a key: (key, value, conversion that receives the result, whole config by dotted keys)."""


def sets(kind: str, *keys: str) -> Rule:
    """Return a rule that sets our ``keys`` to the value."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        conversion.overrides |= dict.fromkeys(keys, conversion.value_of(kind, key, value))

    return rule


def without_effect(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Note a key that says nothing about a training here."""
    conversion.without_effect.append(key)


def leaves_out(instead: str, *no_matter: Any) -> Rule:
    """Return a rule for a key without a counterpart. The rule says what to use instead.

    Args:
        instead: What to use.
        no_matter: Values that need no counterpart, besides None, False and ''.
    """

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        if value not in (None, False, '', *no_matter):
            conversion.left_out.append(f'{key}: {instead}')

    return rule


def only(*allowed: Any) -> Rule:
    """Return a rule for a setting that is fixed here: values other than ``allowed`` are errors."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        if value not in allowed:
            raise ConfigError(f'only {" or ".join(map(repr, allowed))} has a counterpart here, found {value!r}')

    return rule
