"""The backends of window attention, fastest first. Here the attention kernel is chosen.

:class:`~vrtspike.ops.backends.Operator` picks the first that supports the input, unless ``attn_type`` in a
config or :func:`~vrtspike.ops.backends.use_backends` names one.
"""

from __future__ import annotations

from dataclasses import dataclass

from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.window_attention import flash, native
from vrtspike.ops.window_attention.flex import flex
from vrtspike.ops.window_attention.reference import reference
from vrtspike.ops.window_attention.sdpa import sdpa


@dataclass(frozen=True)
class WindowBackend(Backend):
    """A backend of window attention.

    ``run(qkv, bias, settings)`` of most backends takes a map (B, T, H, W, 3*C) and the bias table, and finds the
    windows itself. With ``by_windows`` it is ``run(qkv, bias, settings, kinds)`` and takes windows (M, N, 3*C) in the
    order of a :class:`~vrtspike.ops.window_attention.layout.WindowLayout`, their kinds, and the bias (heads, N, N).

    Args:
        by_windows: Whether ``run`` takes windows.
    """

    by_windows: bool = False


WINDOW_ATTENTION = Operator(
    'window_attention',
    (
        WindowBackend(
            'native',
            native.native,
            devices=('cpu',),
            dtypes=native.DTYPES,
            missing=native.missing,
            by_windows=True,
        ),
        WindowBackend('sdpa', sdpa, by_windows=True),
        # Not timed on a GPU yet, so it is only used on request.
        WindowBackend('flash', flash.flash, devices=flash.devices(), dtypes=flash.DTYPES, missing=flash.missing),
        WindowBackend('flex', flex, backward=('cuda',), by_windows=True),
        WindowBackend('reference', reference),
    ),
)
