"""Numbers as text."""

from __future__ import annotations


def number(value: float) -> str:
    """Return a number with about four significant digits."""
    if abs(value) >= 1000:
        return f'{value:,.0f}'
    return f'{value:.1f}' if abs(value) >= 100 else f'{value:.2f}'


def percent(share: float | None, spec: str = '.1%') -> str | None:
    """Return a fraction in percent, None for None."""
    return None if share is None else f'{share:{spec}}'


def spaced_percent(share: float, digits: int = 0) -> str:
    """Return a fraction in percent with a space before the sign, as in prose; zero has no minus."""
    return f'{round(share, digits + 2) + 0.0:.{digits}%}'.replace('%', ' %')


def percent_range(interval: tuple[float, float] | list[float] | None) -> str | None:
    """Return an interval of fractions in percent, None for None."""
    return None if interval is None else f'{interval[0]:.1%} to {interval[1]:.1%}'
