"""The backends of window attention in the order of preference. Here the attention kernel is chosen.

:class:`~vrtspike.ops.backends.Operator` picks the one that trials found fastest, or the first that supports the input,
unless ``attn_type`` in a config or :func:`~vrtspike.ops.backends.use_backends` names one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.window_attention import native
from vrtspike.ops.window_attention.flash import Attention, flash, flash_together
from vrtspike.ops.window_attention.flex import flex
from vrtspike.ops.window_attention.layout import WindowLayout
from vrtspike.ops.window_attention.reference import reference
from vrtspike.ops.window_attention.sdpa import sdpa
from vrtspike.ops.window_attention.windows import Settings, relative_position_bias


@dataclass(frozen=True)
class WindowBackend(Backend):
    """A backend of window attention.

    ``run(qkv, bias, settings)`` of most backends takes a map (B, T, H, W, 3*C) and the bias table, and finds the
    windows itself. With ``by_windows`` it is ``run(qkv, bias, settings, kinds)`` and takes windows (M, N, 3*C) in the
    order of a :class:`~vrtspike.ops.window_attention.layout.WindowLayout`, their kinds, and the bias (heads, N, N).

    Args:
        by_windows: Whether ``run`` takes windows.
        together: ``together(qkv, attentions)`` attends several times in a map, see
            :func:`~vrtspike.ops.window_attention.flash.flash_together`. None: it cannot.
    """

    by_windows: bool = False
    together: Callable[[Tensor, Sequence[Attention]], Tensor] | None = None

    def attend_in_map(
        self,
        x: Tensor,
        bias_table: Tensor | None,
        settings: Settings,
        project: Callable[[Tensor], Tensor] = lambda qkv: qkv,
    ) -> Tensor:
        """Attend in the windows of a map.

        Args:
            x: Map (B, T, H, W, ...).
            bias_table: See :func:`vrtspike.ops.window_attention`.
            settings: The other arguments.
            project: Returns queries, keys and values (..., 3*C) of tokens of ``x``.

        Returns:
            The attended values (B, T, H, W, C).
        """
        if not self.by_windows:
            return self.run(project(x), bias_table, settings)
        layout = WindowLayout(tuple(x.shape[:4]), settings.window, settings.shift)
        bias = None if bias_table is None else relative_position_bias(bias_table, settings.window)
        return layout.to_map(self.run(project(layout.to_windows(x)), bias, settings, layout.kinds()))


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
        # Its place is that of a kernel nobody has timed on a GPU: without trials it is used on request only.
        WindowBackend('flash', flash, **triton_support.SERVES, together=flash_together),
        WindowBackend('flex', flex, backward=('cuda',), by_windows=True),
        WindowBackend('reference', reference),
    ),
)
