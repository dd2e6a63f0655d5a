"""Calls of window attention on which its backends are compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.trials import Trial, values_and_gradients
from vrtspike.ops.window_attention.windows import Settings

if TYPE_CHECKING:
    from vrtspike.ops.window_attention.backends import WindowBackend


def trial_of_attention(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Trial:
    """Return the trial of one call of :func:`vrtspike.ops.window_attention`."""
    kind = 'mutual attention' if settings.mutual else 'attention' if bias_table is None else 'attention with bias'
    return _trial(kind, qkv, bias_table, settings, [settings], qkv.shape[-1] // 3)


def trial_of_windows(x: Tensor, bias_table: Tensor | None, settings: Settings) -> Trial:
    """Return the trial of :func:`vrtspike.ops.map_windows` for a map (B, T, H, W, C).

    Windows are gathered from C channels and projected afterwards; a repetition stands for the projection. Values are
    checked for mutual attention too, if the windows can have it.
    """
    checked = [settings, settings._replace(mutual=True)] if settings.window[0] == 2 else [settings]
    return _trial('windows', x, bias_table, settings, checked, x.shape[-1], lambda tokens: torch.cat([tokens] * 3, -1))


def _trial(
    kind: str,
    x: Tensor,
    bias_table: Tensor | None,
    settings: Settings,
    checked: list[Settings],
    channels: int,
    project: Callable[[Tensor], Tensor] = lambda qkv: qkv,
) -> Trial:
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, bias_table))
    dtype = computes_in(x)
    table_dtype = None if bias_table is None else bias_table.dtype

    def small(backend: WindowBackend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        return [
            result
            for each in checked
            for result in values_and_gradients(
                partial(_attend, backend, each),
                [
                    None if t is None else convert(t)
                    for t in _small_inputs(each, channels, dtype, table_dtype, x.device)
                ],
                trains=trains,
            )
        ]

    def real(backend: WindowBackend) -> None:
        function = partial(_attend, backend, settings, project=project)
        values_and_gradients(function, (x.detach().to(dtype), bias_table), trains=trains)

    return Trial(f'{kind} {_shape(x, settings, channels)}', x.device, dtype, trains, small, real)


def _attend(
    backend: WindowBackend, settings: Settings, x: Tensor, bias_table: Tensor | None, **options: Callable
) -> Tensor:
    return backend.attend_in_map(x, bias_table, settings, **options)


def _shape(x: Tensor, settings: Settings, channels: int) -> str:
    """Return the class of a call's shape: the number of windows counts in powers of two."""
    window, shift = ('x'.join(map(str, lengths)) for lengths in (settings.window, settings.shift))
    windows = x.shape[:4].numel() // math.prod(settings.window)
    heads = f'{settings.heads} heads of {channels // settings.heads} channels'
    return f'of {window} tokens shifted by {shift}, {heads}, up to {1 << (windows - 1).bit_length()} windows'


def _small_inputs(
    settings: Settings, channels: int, dtype: torch.dtype, table_dtype: torch.dtype | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return random inputs with two windows along every axis that is shifted, and along the last."""
    generator = torch.Generator().manual_seed(0)
    counts = [2 if shift or axis == 2 else 1 for axis, shift in enumerate(settings.shift)]
    size = [count * length for count, length in zip(counts, settings.window, strict=True)]
    qkv = torch.randn(1, *size, 3 * channels, generator=generator, device='cpu').to(device, dtype)
    if table_dtype is None or settings.mutual:
        return qkv, None
    rows = math.prod(2 * length - 1 for length in settings.window)
    return qkv, torch.randn(rows, settings.heads, generator=generator, device='cpu').to(device, table_dtype)
