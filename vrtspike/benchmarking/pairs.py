"""Interleaved timing: compares functions on a machine whose speed drifts.

In every round each function runs once, in an order that changes from round to round. Times are compared within a round.
"""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Callable, Iterator, Mapping

import msgspec
import torch

from vrtspike.runtime.device import call_seconds


def interleaved_ms(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warmup: int = 1,
    seconds: Callable[[Callable[[], object]], float] | None = None,
) -> dict[str, list[float]]:
    """Return the milliseconds of every call, one per round.

    Args:
        functions: By name.
        rounds: Number of timed calls of each.
        device: Where they compute. The time of a call includes the work of a GPU.
        warmup: Number of calls of each before the timed ones.
        seconds: Calls a function and returns how long it took; None measures what passed.
    """
    for function in functions.values():
        for _ in range(warmup):
            function()
    seconds = seconds or functools.partial(call_seconds, device=device)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for name in orders(tuple(functions), rounds):
        times[name].append(1e3 * seconds(functions[name]))
    return times


def orders(names: tuple[str, ...], rounds: int) -> Iterator[str]:
    """Yield every name once per round. Each round begins one name later.

    >>> list(orders(('a', 'b'), 2))
    ['a', 'b', 'b', 'a']
    """
    for i in range(rounds):
        first = i % len(names)
        yield from (*names[first:], *names[:first])


class PairedRatio(msgspec.Struct, frozen=True):
    """The ratios within the rounds."""

    median: float
    min: float
    max: float


class Spread(msgspec.Struct, frozen=True):
    """The median, and the distance of the quartiles relative to it."""

    median: float
    iqr_share: float


def paired_ratio(slow: list[float], fast: list[float]) -> PairedRatio:
    """Return the ratios within the rounds.

    >>> paired_ratio([4.0, 6.0, 9.0], [2.0, 2.0, 3.0])
    PairedRatio(median=3.0, min=2.0, max=3.0)
    """
    ratios = [left / right for left, right in zip(slow, fast, strict=True)]
    return PairedRatio(statistics.median(ratios), min(ratios), max(ratios))


def spread(times: list[float]) -> Spread:
    """Return median and spread of times; one time has no spread.

    >>> spread([1.0, 2.0, 3.0])
    Spread(median=2.0, iqr_share=1.0)
    """
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Spread(median, (high - low) / median)


def load_average() -> float | None:
    """Return the mean number of runnable processes in the last minute, or None if the system has no such number."""
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
