"""The filters of the templates: how numbers, devices and lists read."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def number(value: float, spec: str = ',.0f') -> str:
    """Return a number by Python's format specification; by default whole, with thousands separated."""
    return f'{value:{spec}}'


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage.

    >>> percent(0.3004), percent(-0.0001)
    ('30.0 %', '0.0 %')
    """
    return f'{share:.{digits}%}'.replace('%', ' %').replace('-0.0', '0.0')


def rounds(shares: Sequence[float]) -> str:
    """Return the median of the rounds' shares with the smallest and the largest; empty where there is none."""
    if not shares:
        return ''
    middle = percent(statistics.median(shares))
    return middle if len(shares) == 1 else f'{middle} [{percent(min(shares))}, {percent(max(shares))}]'


def interval(ends: Sequence[float]) -> str:
    """Return a difference in dB with its interval, of its low end, mean and high end."""
    low, mean, high = ends
    return f'{mean:+.2f} dB [{low:+.2f}, {high:+.2f}]'


def number_range(values: Iterable[float]) -> str:
    """Return a range, or one number where both ends are the same.

    >>> number_range([1200, 1300]), number_range([0.5, 0.5])
    ('1,200–1,300', '0.5')
    """
    return '–'.join(dict.fromkeys(f'{value:,g}' for value in values))


def percent_range(shares: Iterable[float]) -> str:
    return f'{number_range(round(100 * share, 6) for share in shares)} %'


def loss_range(values: Sequence[float]) -> str:
    """Return what a change may cost in dB, from the least to the most."""
    return f'{number_range(values)} dB' if values[0] else f'< {values[1]:g} dB'


def device(found: dict[str, Any]) -> str:
    """Return the device's name, with the number of threads that computed on a CPU."""
    if 'threads' not in found:
        return found['name']
    return f'{found["name"]}, {found["threads"]} thread{"s" if found["threads"] > 1 else ""}'


def measured_on(record: dict[str, Any]) -> str:
    """Return device, version and commit of a record."""
    return f'{device(record["device"])}, torch {record["versions"]["torch"]}, commit {record["commit"][:8]}'


def closest(items: Iterable[dict[str, Any]], key: str, value: float) -> dict[str, Any]:
    """Return the item whose ``key`` comes closest to a value."""
    return min(items, key=lambda item: abs(item[key] - value))


def row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table."""
    return f'| {" | ".join(cells)} |'


FILTERS = {
    function.__name__: function
    for function in (
        number,
        percent,
        rounds,
        interval,
        number_range,
        percent_range,
        loss_range,
        device,
        measured_on,
        closest,
        row,
    )
} | {'median': statistics.median, 'mean': statistics.mean, 'shell': shlex.join}
