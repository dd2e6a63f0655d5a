"""Learning-rate schedules that follow the length of the run.

A param scheduler may begin or end at ``'warm_up'`` instead of a number. The top-level ``warm_up`` sets its length,
so that a run can be shortened with ``train_cfg.max_iters`` alone:

    warm_up = dict(ratio=0.1, max_iters=1536)
    param_scheduler = [
        dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end='warm_up'),
        dict(type='CosineAnnealingLR', eta_min=1e-7, by_epoch=False, begin='warm_up'),
    ]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import Config

from vrtspike.errors import ConfigError

KEY = 'warm_up'
"""The top-level key, and the word in a schedule that stands for the number of warm-up iterations."""

BOUNDS = ('begin', 'end')


def warm_up_iterations(run_iters: int, ratio: float = 0.1, max_iters: int | None = None) -> int:
    """Return the length of the warm-up in iterations.

    Args:
        run_iters: Length of the run in iterations.
        ratio: The warm-up's share of the run, 0-1. Above 0 it is at least two iterations.
        max_iters: Its maximum length in iterations; None for no maximum.

    Returns:
        At most ``run_iters - 1``, so that the schedule after the warm-up always begins. 0 in place of 1: MMEngine's
        LinearLR reaches the full learning rate in its last iteration, so one iteration would never leave the start.

    Raises:
        ConfigError: A value is of the wrong kind or out of range.
    """
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise ConfigError(f'{KEY}.ratio: expected a share of the run from 0 to 1, found {ratio!r}')
    if max_iters is not None and (isinstance(max_iters, bool) or not isinstance(max_iters, int) or max_iters < 0):
        raise ConfigError(f'{KEY}.max_iters: expected a number of iterations or None, found {max_iters!r}')
    share = max(2, round(ratio * run_iters)) if ratio else 0
    iterations = min(share, run_iters - 1, *([] if max_iters is None else [max_iters]))
    return iterations if iterations > 1 else 0


def resolve_warm_up(config: Config) -> None:
    """Write the warm-up's iterations into ``param_scheduler`` and remove the top-level ``warm_up``.

    A schedule that would end at iteration 0 is left out.

    Raises:
        ConfigError: A bound is a word other than ``'warm_up'``, or the length of the warm-up is unknown.
    """
    has_rule = KEY in config
    rule = config.pop(KEY, None)
    scheduler = config.get('param_scheduler')
    words = dict(_words_of(scheduler, 'param_scheduler'))
    for path, word in words.items():
        if word != KEY:
            raise ConfigError(f"{path}: expected a number of iterations or '{KEY}', found {word!r}")
    if not words:
        return
    if not has_rule:
        raise ConfigError(f"param_scheduler: '{KEY}' is not set; add {KEY} = dict(ratio=0.1) to the config")
    run_iters = (config.get('train_cfg') or {}).get('max_iters')
    if isinstance(run_iters, bool) or not isinstance(run_iters, int):
        raise ConfigError(f"train_cfg.max_iters: expected an integer, of which '{KEY}' is a share; found {run_iters!r}")
    config.param_scheduler = _resolved(scheduler, warm_up_iterations(run_iters, **(rule or {'ratio': 0})))


def _words_of(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the bounds that are words, as (dotted path, word)."""
    for name, child in _children(node):
        if isinstance(child, str) and name in BOUNDS:
            yield f'{path}.{name}', child
        else:
            yield from _words_of(child, f'{path}.{name}')


def _children(node: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return node.items()
    return enumerate(node) if isinstance(node, (list, tuple)) else ()


def _resolved(node: Any, iterations: int) -> Any:
    if isinstance(node, (list, tuple)):
        items = [_resolved(item, iterations) for item in node]
        return [item for item in items if not (isinstance(item, Mapping) and item.get('end') == 0)]
    if isinstance(node, Mapping):
        return {key: iterations if value == KEY else _resolved(value, iterations) for key, value in node.items()}
    return node
