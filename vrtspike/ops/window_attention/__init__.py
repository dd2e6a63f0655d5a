"""Attention inside shifted windows of a space-time map (VRT, arXiv 2201.12288; Swin, arXiv 2103.14030)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.window_attention import flash as fused
from vrtspike.ops.window_attention import native as on_cpu
from vrtspike.ops.window_attention.flex import flex, flex_in_windows
from vrtspike.ops.window_attention.layout import Kind
from vrtspike.ops.window_attention.reference import reference
from vrtspike.ops.window_attention.sdpa import sdpa, sdpa_in_windows
from vrtspike.ops.window_attention.windows import Window


@dataclass(frozen=True)
class WindowBackend(Backend):
    """A backend of the window attention.

    Args:
        in_windows: The implementation on tokens in the order of a
            :class:`~vrtspike.ops.window_attention.layout.WindowLayout`, with the signature of
            :func:`attend_in_windows`; None where the backend finds the windows of a map by itself.
    """

    in_windows: Callable[..., Tensor] | None = None


WINDOW_ATTENTION = Operator(
    'window_attention',
    (
        WindowBackend(
            'native',
            on_cpu.native,
            devices=('cpu',),
            dtypes=on_cpu.DTYPES,
            missing=on_cpu.missing,
            in_windows=on_cpu.native_in_windows,
        ),
        WindowBackend('sdpa', sdpa, in_windows=sdpa_in_windows),
        # Not timed on a GPU yet: for who asks for them.
        WindowBackend('flash', fused.flash, devices=fused.devices(), dtypes=fused.DTYPES, missing=fused.missing),
        WindowBackend('flex', flex, backward=('cuda',), in_windows=flex_in_windows),
        WindowBackend('reference', reference),
    ),
)


def window_attention(
    qkv: Tensor,
    bias_table: Tensor | None,
    *,
    window: Window,
    shift: Window,
    heads: int,
    mutual: bool,
    scale: float | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Attend inside the (shifted) windows of a map.

    Args:
        qkv: Queries, keys and values (B, T, H, W, 3*C), C divided among the heads; T, H, W are whole windows.
        bias_table: Relative position bias ((2t-1)*(2h-1)*(2w-1), heads) of exactly this window; None for no bias, as
            mutual attention needs it.
        window: Window (t, h, w) in tokens.
        shift: Cyclic shift (t, h, w) in tokens; tokens that the shift brings together from opposite borders get -100.
        heads: Number of heads.
        mutual: Every frame's keys and values meet the *other* frame's queries, and the result stays at the place of
            the keys. Windows have two frames (one frame attends to itself), there is no mask along time.
        scale: Factor on the scores; None is 1/sqrt(C/heads).
        backend: 'auto' or one backend's name.

    Returns:
        The attended values (B, T, H, W, C).

    Raises:
        ValueError: The map is no whole number of windows, or mutual attention got more than two frames or a bias.
    """
    for name, size, length in zip('THW', qkv.shape[1:4], window, strict=True):
        if size % length:
            raise ValueError(f'window_attention: {name} = {size} is no whole number of windows of {length}')
    _check_mutual(window, bias_table, mutual)
    chosen = WINDOW_ATTENTION.choose(qkv, backend)
    scale = _scale(qkv, heads, scale)
    return chosen.run(qkv, bias_table, window=window, shift=shift, heads=heads, mutual=mutual, scale=scale)


def works_in_windows(x: Tensor, backend: str = 'auto') -> bool:
    """Return whether the backend that serves ``x`` takes tokens by windows, so that callers may lay them out once."""
    return WINDOW_ATTENTION.select(x, backend).in_windows is not None


def attend_in_windows(
    qkv: Tensor,
    bias: Tensor | None,
    kinds: Sequence[Kind],
    *,
    window: Window,
    shift: Window,
    heads: int,
    mutual: bool,
    scale: float | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Compute :func:`window_attention` on tokens that stand by windows, where :func:`works_in_windows` says so.

    Args:
        qkv: Queries, keys and values (M, N, 3*C) of windows in the order of a
            :class:`~vrtspike.ops.window_attention.layout.WindowLayout`.
        bias: What is added to the scores (heads, N, N), or None.
        kinds: Which windows these are: all of a map, ``layout.kinds()``, or a piece of them.
        window: As :func:`window_attention` takes it, and so are ``shift``, ``heads``, ``mutual``, ``scale`` and
            ``backend``.

    Returns:
        The attended values (M, N, C); ``layout.to_map`` makes a map of those of all windows.

    Raises:
        ValueError: Mutual attention got more than two frames or a bias.
    """
    _check_mutual(window, bias, mutual)
    chosen = WINDOW_ATTENTION.choose(qkv, backend)
    scale = _scale(qkv, heads, scale)
    return chosen.in_windows(qkv, bias, kinds, window=window, shift=shift, heads=heads, mutual=mutual, scale=scale)


def _check_mutual(window: Window, bias: Tensor | None, mutual: bool) -> None:
    if mutual and window[0] > 2:
        raise ValueError(f'window_attention: mutual attention takes windows of 2 frames, found {window[0]}')
    if mutual and bias is not None:
        raise ValueError('window_attention: mutual attention has no relative position bias; give bias_table=None')


def _scale(qkv: Tensor, heads: int, scale: float | None) -> float:
    return scale if scale is not None else 1 / math.sqrt(qkv.shape[-1] // 3 // heads)
