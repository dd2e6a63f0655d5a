"""Calls of window attention on which its backends are compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.trials import Trial, values_and_gradients
from vrtspike.ops.window_attention.flash import Attention
from vrtspike.ops.window_attention.windows import Settings

if TYPE_CHECKING:
    from vrtspike.ops.window_attention.backends import WindowBackend


def trial_of_attention(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Trial:
    """Return the trial of one call of :func:`vrtspike.ops.window_attention`."""
    kind = 'mutual attention' if settings.mutual else 'attention' if bias_table is None else 'attention with bias'
    return _trial(kind, qkv, bias_table, settings, [settings], qkv.shape[-1] // 3)


def trial_of_windows(x: Tensor, bias_table: Tensor | None, settings: Settings) -> Trial:
    """Return the trial of :func:`vrtspike.ops.map_windows` for a map (B, T, H, W, C).

    Windows are gathered from C channels and projected afterwards; a repetition stands for the projection. Values and
    gradients are checked for mutual attention too, if the windows can have it, and for a kernel that attends several
    times.
    """
    checked = [settings, settings._replace(mutual=True)] if settings.window[0] == 2 else [settings]
    channels = x.shape[-1]
    trial = _trial('windows', x, bias_table, settings, checked, channels, lambda tokens: torch.cat([tokens] * 3, -1))

    def small(backend: WindowBackend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        inputs = _small_inputs(settings, channels, trial.dtype, bias_table, x.device)
        inputs = [None if t is None else convert(t) for t in _small_inputs_together(*inputs, settings, len(checked))]
        together = values_and_gradients(partial(_attend_together, backend, settings), inputs, trains=trial.trains)
        return trial.small(backend, convert) + together

    return replace(trial, small=small)


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

    def small(backend: WindowBackend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        return [
            result
            for each in checked
            for result in values_and_gradients(
                partial(_attend, backend, each),
                [None if t is None else convert(t) for t in _small_inputs(each, channels, dtype, bias_table, x.device)],
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


def _attend_together(
    backend: WindowBackend,
    settings: Settings,
    qkv: Tensor,
    bias_table: Tensor | None,
    encoding: Tensor | None,
    *biases: Tensor,
) -> Tensor:
    """Attend in windows, with an encoding also mutually, as :meth:`~.functional.Windows.attend_together` does.

    Args:
        backend: It attends once for each, if it has no kernel for both.
        settings: Of the attention that is not mutual.
        qkv: (B, T, H, W, K*3*C), without the biases.
        bias_table: Of the relative positions.
        encoding: (h*w, 3*C); None if there is no mutual attention.
        biases: K of (3*C,).
    """
    mutual = settings._replace(mutual=True)
    if backend.together is not None:
        attentions = [Attention(settings, bias_table, biases[0], slot=len(biases) - 1)]
        if encoding is not None:
            attentions.append(Attention(mutual, None, biases[1], encoding))
        return backend.together(qkv + torch.cat(biases).to(qkv.dtype).detach(), attentions)
    parts = (qkv + torch.cat(biases).to(qkv.dtype)).chunk(len(biases), -1)
    own = backend.attend_in_map(parts[0].contiguous(), bias_table, settings)
    if encoding is None:
        return own
    frame = encoding.unflatten(0, settings.window[1:]).roll(settings.shift[1:], dims=(0, 1))
    counts = [size // length for size, length in zip(qkv.shape[2:4], settings.window[1:], strict=True)]
    return torch.cat((backend.attend_in_map(parts[1] + frame.repeat(*counts, 1), None, mutual), own), -1)


def _shape(x: Tensor, settings: Settings, channels: int) -> str:
    """Return the class of a call's shape: the number of windows counts in powers of two."""
    window, shift = ('x'.join(map(str, lengths)) for lengths in (settings.window, settings.shift))
    windows = x.shape[:4].numel() // math.prod(settings.window)
    heads = f'{settings.heads} heads of {channels // settings.heads} channels'
    return f'of {window} tokens shifted by {shift}, {heads}, up to {1 << (windows - 1).bit_length()} windows'


def _small_inputs(
    settings: Settings, channels: int, dtype: torch.dtype, bias_table: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return random inputs with two windows along every axis that is shifted, and along the last."""
    generator = torch.Generator().manual_seed(0)
    counts = [2 if shift or axis == 2 else 1 for axis, shift in enumerate(settings.shift)]
    size = [count * length for count, length in zip(counts, settings.window, strict=True)]
    qkv = torch.randn(1, *size, 3 * channels, generator=generator, device='cpu').to(device, dtype)
    if bias_table is None or settings.mutual:
        return qkv, None
    rows = math.prod(2 * length - 1 for length in settings.window)
    return qkv, torch.randn(rows, settings.heads, generator=generator, device='cpu').to(device, bias_table.dtype)


def _small_inputs_together(
    qkv: Tensor, bias_table: Tensor | None, settings: Settings, count: int
) -> list[Tensor | None]:
    """Return random inputs of :func:`_attend_together` for ``count`` attentions, from those of one."""
    tokens = math.prod(settings.window[1:])
    made = torch.randn(tokens + count, qkv.shape[-1], generator=torch.Generator().manual_seed(1), device='cpu')
    encoding, biases = made.to(qkv.device).split([tokens, count])
    return [torch.cat([qkv] * count, -1), bias_table, encoding.to(qkv.dtype) if count > 1 else None, *biases]
