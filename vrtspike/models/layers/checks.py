"""Checks of constructor arguments, so that a number that cannot work is refused by name."""

from __future__ import annotations

from numbers import Integral, Real

from vrtspike.errors import ConfigError


def require_positive(owner: str, **numbers: float) -> None:
    """Raise :class:`ConfigError` unless every one of ``numbers`` is a finite number above zero.

    >>> require_positive('CharbonnierLoss', delta=1e-3)
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < float('inf'):
            raise ConfigError(f'{owner}: {name}={value!r}; expected a number above zero')


def require_positive_integers(owner: str, **numbers: int) -> None:
    """Raise :class:`ConfigError` unless every one of ``numbers`` is an integer above zero.

    >>> require_positive_integers('SpikeEncoder3D', bins=32, scales=4)
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ConfigError(f'{owner}: {name}={value!r}; expected an integer above zero')
