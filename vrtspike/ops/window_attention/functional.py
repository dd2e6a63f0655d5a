"""Attention inside shifted windows of a space-time map (VRT, arXiv 2201.12288; Swin, arXiv 2103.14030).

:func:`window_attention` is the operator. :func:`map_windows` is for modules that project tokens before and after
attention: it converts the map to the layout of the backend only once.

Shapes: map (B, T, H, W, C), channels last; window (t, h, w) of N = t*h*w tokens; M windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vrtspike.ops.add_scattered import Addend, add_scattered
from vrtspike.ops.backends import Request
from vrtspike.ops.chunks import chunk_rows, joined, works_in_chunks
from vrtspike.ops.padding import next_multiple, pad_to_windows, without_padding
from vrtspike.ops.residual import plus
from vrtspike.ops.rows import Order, gather, scatter
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.window_attention.backends import WINDOW_ATTENTION, WindowBackend
from vrtspike.ops.window_attention.flash import Attention
from vrtspike.ops.window_attention.layout import WindowKind, WindowLayout, padded_order, split_kinds, token_order
from vrtspike.ops.window_attention.trials import trial_of_attention, trial_of_windows
from vrtspike.ops.window_attention.windows import Settings, Window, relative_position_bias
from vrtspike.runtime.device import fuses_by_hand

Norm = Callable[..., tuple[Tensor, Tensor]]
"""``norm(x, order)`` returns a map (..., C), to which results are added, and its normalised rows (M, C) in that order;
without an order, the second is the normalised map."""


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
        bias_table: Relative position bias ((2t-1)*(2h-1)*(2w-1), heads) of exactly this window; None for no bias, which
            mutual attention requires.
        window: Window (t, h, w) in tokens.
        shift: Cyclic shift (t, h, w) in tokens; -100 is added to the scores of tokens that only the shift makes
            neighbours, from opposite borders of the map.
        heads: Number of heads.
        mutual: The queries of each frame attend to the keys and values of the *other* frame, and the result is at
            the position of the keys. Windows have two frames (a single frame attends to itself). There is no mask along
            time.
        scale: Factor on the scores; None is 1/sqrt(C/heads).
        backend: 'auto' or the name of a backend; see :data:`~vrtspike.ops.window_attention.backends.WINDOW_ATTENTION`.

    Returns:
        The attended values (B, T, H, W, C).

    Raises:
        ValueError: The map is not in whole windows, or mutual attention got more than two frames or a bias.
        ConfigError: The backend does not exist or does not support the map.
    """
    for name, size, length in zip('THW', qkv.shape[1:4], window, strict=True):
        if size % length:
            raise ValueError(f'window_attention: {name} = {size} is not a multiple of the window length {length}')
    settings = _settings(qkv.shape[-1] // 3, window, shift, heads, scale, mutual=mutual, bias=bias_table)
    trial = trial_of_attention(qkv, bias_table, settings) if measures(qkv) else None
    return WINDOW_ATTENTION.choose(qkv, Request(backend, trial)).attend_in_map(qkv, bias_table, settings)


@dataclass(frozen=True)
class Windows:
    """Windows of a map, in the layout of the backend that will attend in them.

    Attributes:
        tokens: The map (B, T, H, W, C), or windows (M, N, C).
        window: (t, h, w) in tokens.
    """

    tokens: Tensor
    window: Window
    shift: Window
    bias: Tensor | None
    """The bias table of a map, or the bias (heads, N, N) of windows."""
    kinds: Sequence[WindowKind] | None
    """The kinds of the windows in their order; None for a map."""
    heads: int
    scale: float | None
    request: Request
    """Its trial is of all that is done with the windows; it has chosen the layout and chooses the backend."""

    def attend(self, qkv: Tensor, *, mutual: bool = False) -> Tensor:
        """Attend in the windows.

        Args:
            qkv: Queries, keys and values (..., 3*C) of :attr:`tokens`.
            mutual: See :func:`window_attention`; mutual attention has no bias.

        Returns:
            The attended values (..., C) in the same layout.
        """
        bias = None if mutual else self.bias
        channels = qkv.shape[-1] // 3
        settings = _settings(channels, self.window, self.shift, self.heads, self.scale, mutual=mutual, bias=bias)
        chosen = WINDOW_ATTENTION.choose(qkv, self.request)
        if self.kinds is None:
            return chosen.attend_in_map(qkv, bias, settings)
        return chosen.run(qkv, bias, settings, self.kinds)

    @property
    def attends_together(self) -> bool:
        """Whether :meth:`attend_together` may be called: with a backend that can do it, on GPUs."""
        chosen = WINDOW_ATTENTION.select(self.tokens, self.request)
        return chosen.together is not None and fuses_by_hand(self.tokens)

    def attend_together(self, qkv: Tensor, biases: Sequence[Tensor | None], encoding: Tensor | None = None) -> Tensor:
        """Attend in the windows, and with an ``encoding`` also mutually.

        Args:
            qkv: Queries, keys and values (..., 3*C) of :attr:`tokens`; those of mutual attention follow (..., 6*C).
            biases: The bias (3*C,) that each has from the layer that made them, or None. Its gradient is summed here:
                that layer must give it none.
            encoding: Added to those of mutual attention: (N, 3*C) for the N tokens of a frame of a window.

        Returns:
            The attended values (..., C); with mutual attention (..., 2*C), first those of mutual attention.
        """
        count = len(biases)
        same = qkv.shape[-1] // (3 * count), self.window, self.shift, self.heads, self.scale
        attentions = [Attention(_settings(*same, bias=self.bias), self.bias, biases[0], slot=count - 1)]
        if encoding is not None:
            attentions.append(Attention(_settings(*same, mutual=True), None, biases[1], encoding))
        return WINDOW_ATTENTION.choose(qkv, self.request).together(qkv, attentions)

    def encoded(self, encoding: Tensor) -> Tensor:
        """Return the :attr:`tokens` plus the position encoding (h, w, C) of one frame of a window."""
        t, h, w = self.window
        encoding = encoding.to(self.tokens.dtype)
        if self.kinds is not None:
            return self.tokens + encoding.flatten(0, 1).repeat(t, 1)
        # The encodings of all windows repeat that of one, so that shifting the map shifts each of them cyclically.
        shifted = encoding.roll(self.shift[1:], dims=(0, 1))
        windows = self.tokens.unflatten(3, (-1, w)).unflatten(2, (-1, h))
        return (windows + shifted[:, None]).view_as(self.tokens)


def unchanged(x: Tensor, order: Order | None = None) -> tuple[Tensor, Tensor]:
    """Return a map (..., C) twice, or the map and its rows (M, C) in an order."""
    return x, x if order is None else gather(x.flatten(0, -2), order)


def map_windows(
    function: Callable[[Windows], Tensor],
    x: Tensor,
    bias_table: Tensor | None,
    *,
    window: Window,
    shift: Window,
    heads: int,
    scale: float | None = None,
    backend: str = 'auto',
    norm: Norm = unchanged,
    added_by: float | None = None,
    add: Callable[[Tensor, Addend], Tensor] = add_scattered,
) -> Tensor:
    """Apply ``function`` to the windows of a map; in inference on CPUs, in chunks.

    Args:
        function: Projects and attends: takes :class:`Windows`, returns a result (..., C') for each of its tokens.
        x: Map (B, T, H, W, C) of any size; zeros fill the last windows.
        bias_table: See :func:`window_attention`, also for the arguments after it.
        norm: Normalises the tokens, and gathers them in the same pass.
        added_by: Factor on the results that are added to the map that ``norm`` returns, in the pass that scatters them;
            None for the results alone.
        add: Adds the results, on GPUs; a function like :func:`~vrtspike.ops.add_scattered`, whose result is returned.

    Returns:
        The results, or their sum with the map, as a map (B, T, H, W, C').
    """
    settings = dict(window=window, shift=shift, heads=heads, scale=scale)
    batch, *size = x.shape[:4]
    like, trial = x, None
    if measures(x):
        padded = pad_to_windows(x, window)
        trial = trial_of_windows(padded, bias_table, _settings(x.shape[-1], window, shift, heads, scale))
        like = torch.empty(0, dtype=trial.dtype, device=x.device, requires_grad=trial.trains)
    request = Request(backend, trial)
    if not WINDOW_ATTENTION.select(like, request).by_windows:
        x, tokens = whole_windows(x, window, norm)
        results = function(Windows(tokens, bias=bias_table, kinds=None, request=request, **settings))
        if added_by is None or not fuses_by_hand(x):
            return plus(x, without_padding(results, size), added_by)
        same = results.shape == x.shape
        order = None if same else padded_order(tuple(x.shape[:4]), window, x.device)
        return add(x, Addend([results.flatten(0, -2)], order, added_by))
    layout = WindowLayout((batch, *map(next_multiple, size, window)), window, shift)
    bias = None if bias_table is None else relative_position_bias(bias_table, window)
    order = None if torch.compiler.is_compiling() else token_order(layout, tuple(x.shape[:4]), x.device)
    x, tokens = norm(x, order)
    if order is None:
        tokens = layout.to_windows(pad_to_windows(tokens, window))
    tokens = tokens.view(-1, math.prod(window), x.shape[-1])
    count = max(1, chunk_rows() // tokens.shape[1]) if works_in_chunks(x) else len(tokens)
    kinds = list(split_kinds(layout.kinds(), count))
    chunks = tokens.split(count) if len(kinds) > 1 else (tokens,)
    settings |= dict(bias=bias, request=request._replace(fits=_by_windows))
    results = [function(Windows(c, kinds=k, **settings)) for c, k in zip(chunks, kinds, strict=True)]
    if order is None:
        return plus(x, without_padding(layout.to_map(joined(results)), size), added_by)
    rows = [each.flatten(0, 1) for each in results]
    if added_by is None:
        return scatter(joined(rows), order).view(batch, *size, -1)
    return add(x, Addend(rows, order, added_by))


def whole_windows(x: Tensor, window: Window, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return what the norm returns of a map (B, T, H, W, C), the second with zeros that fill its last windows."""
    size = tuple(x.shape[1:4])
    padded = tuple(map(next_multiple, size, window))
    if padded == size or not fuses_by_hand(x):
        x, normalised = norm(x)
        return x, pad_to_windows(normalised, window)
    order = padded_order(tuple(x.shape[:4]), window, x.device)  # the norm writes the zeros in the same pass
    x, rows = norm(x, order)
    return x, rows.view(len(x), *padded, -1)


def _settings(
    channels: int,
    window: Window,
    shift: Window,
    heads: int,
    scale: float | None,
    *,
    mutual: bool = False,
    bias: Tensor | None = None,
) -> Settings:
    """Return the settings for ``channels`` of queries, of all heads together."""
    if mutual and window[0] > 2:
        raise ValueError(f'window_attention: mutual attention takes windows of 2 frames, found {window[0]}')
    if mutual and bias is not None:
        raise ValueError('window_attention: mutual attention has no relative position bias; give bias_table=None')
    default = 1 / math.sqrt(channels // heads)
    return Settings(window, shift, heads, mutual, default if scale is None else scale)


def _by_windows(backend: WindowBackend) -> bool:
    return backend.by_windows
