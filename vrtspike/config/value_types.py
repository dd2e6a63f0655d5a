"""Checks values of a config against the annotations of the arguments they become, and against ranges of numbers."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vrtspike.config.signatures import constructors

WORDS = {
    int: 'a whole number',
    float: 'a number',
    bool: 'True or False',
    str: 'text',
    os.PathLike: 'text',
    dict: 'a dict',
    NoneType: 'None',
}

COUNTS = """
accumulative_counts batch_size bins blocks channels chunk_size clip_len deformable_groups divisor embed_dims
exposure_steps frames heads in_chans kernel_size length max_batch_tokens max_epochs max_iters num_heads out_chans
prefetch_factor scales size spike_size states steps steps_per_frame stride T_max train_clips upscale
val_interval window window_size
"""
SHARES = 'drop_path_rate dropout horizontal mul_attn_ratio time transpose vertical'
NOT_NEGATIVE = 'depths eta_min lr max_norm max_value num_workers seed val_clips warmup weight_decay'
RANGES = {
    **dict.fromkeys(COUNTS.split(), (1, math.inf)),
    **dict.fromkeys(SHARES.split(), (0, 1)),
    **dict.fromkeys(NOT_NEGATIVE.split(), (0, math.inf)),
}
"""The smallest and the largest allowed number, by the last part of a key."""

MAY_BE_INFINITE = ('max_norm', 'max_value')
"""With an infinite limit the gradient norm is logged and never clipped."""


LOADER_COUNTS = ('batch_size', 'num_workers', 'prefetch_factor', 'seed')
"""Integer arguments of torch and MMEngine without an annotation that can be read."""


@functools.cache
def hints_of(part: Callable) -> dict[str, Any]:
    """Return the types of the arguments of a class or function by name.

    They come from annotations, from defaults that are True or False, and from :data:`LOADER_COUNTS`. None is allowed
    where it is the default.
    """
    calls = [init for _, init in constructors(part)] if inspect.isclass(part) else [part]
    found: dict[str, Any] = {}
    for call in calls:
        try:
            parameters = inspect.signature(call).parameters
        except ValueError:  # builtins have no signature
            continue
        try:
            hints = get_type_hints(call)
        except (NameError, TypeError, AttributeError):  # names that are imported for type checkers only
            hints = {}
        for name, parameter in parameters.items():
            hint = hints.get(name, _hint_without_annotation(name, parameter.default))
            found.setdefault(name, hint | None if parameter.default is None and hint is not Any else hint)
    return found


def _hint_without_annotation(name: str, default: Any) -> Any:
    if isinstance(default, bool):
        return bool
    if name not in LOADER_COUNTS:
        return Any
    return int | None if default is inspect.Parameter.empty else int


def value_problem(key: str, value: Any, part: Callable) -> str | None:
    """Return what is wrong with the value of an argument of ``part``, or None."""
    if not in_range(key, value):
        low, high = RANGES[key]
        expected = f'{low} or more' if high == math.inf else f'{low} to {high}'
        return f'expected {expected}, found {value!r}'
    hint = hints_of(part).get(key, Any)
    if fits(value, hint):
        return None
    comma = ''
    if isinstance(value, (list, tuple)) and fits('', hint):
        comma = '; on the command line, quote text that contains a comma: KEY=\'"a,b"\''
    return f'expected {in_words(hint)}, found {value!r}{comma}'


def in_range(key: str, value: Any) -> bool:
    """Return whether a number, or every number in a list, is in the range of its key."""
    if isinstance(value, (list, tuple)):
        return all(in_range(key, item) for item in value)
    if key not in RANGES or not isinstance(value, (int, float)):
        return True
    low, high = RANGES[key]
    return low <= value <= high and (math.isfinite(value) or key in MAY_BE_INFINITE)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value has an annotated type. Types that no config can contain accept anything."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    kind = origin or hint
    if kind in (list, tuple, Sequence, Iterable):
        if not isinstance(value, (list, tuple)):
            return False
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return len(value) == len(arguments) and all(map(fits, value, arguments))
        return not arguments or all(fits(item, arguments[0]) for item in value)
    if kind in (dict, Mapping):
        return isinstance(value, dict)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if kind in (bool, str, NoneType):
        return isinstance(value, kind)
    if getattr(kind, '__name__', '') == 'Tensor':
        return False
    return kind is not os.PathLike or isinstance(value, str)


def in_words(hint: Any) -> str:
    """Return an annotation in words."""
    if get_origin(hint) in (Union, UnionType):
        return ' or '.join(dict.fromkeys(map(in_words, get_args(hint))))
    if get_origin(hint) is Literal:
        return ' or '.join(map(repr, get_args(hint)))
    kind = get_origin(hint) or hint
    if kind in (list, tuple, Sequence, Iterable):
        length = f' of {len(get_args(hint))}' if kind is tuple and Ellipsis not in get_args(hint) else ''
        items = f' ({in_words(get_args(hint)[0])} each)' if get_args(hint) else ''
        return f'a list{length}{items}'
    return WORDS.get(kind, getattr(kind, '__name__', str(kind)))
