"""Feature maps (B, C, T, H, W) as parts take them: checks, norms and token layouts."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import ConfigError


def check_maps(part: nn.Module, channels: int, **maps: Tensor) -> None:
    """Raise :class:`ConfigError` unless all maps have one shape (B, C, T, H, W) with C = ``channels``."""
    shapes = {name: tuple(feature.shape) for name, feature in maps.items()}
    first = next(iter(shapes.values()))
    if len(first) != 5 or first[1] != channels or set(shapes.values()) != {first}:
        found = ', '.join(f'{name} {shape}' for name, shape in shapes.items())
        raise ConfigError(
            f'{type(part).__name__}(channels={channels}) was given {found}; expected (B, {channels}, T, '
            'H, W), the same for every map: give the parts that make the maps the same channels and resize first'
        )


def check_heads(owner: str, channels: int, heads: int) -> None:
    """Raise :class:`ConfigError` unless ``heads`` divides ``channels``."""
    if channels % heads:
        raise ConfigError(f'{owner}: heads={heads} does not divide channels={channels}; choose a divisor')


def channels_last(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B, T, H, W, C), a view."""
    return x.movedim(1, -1)


def channels_first(x: Tensor) -> Tensor:
    """(B, T, H, W, C) -> (B, C, T, H, W), a view."""
    return x.movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map (B, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        return channels_first(super().forward(channels_last(x)))


def zeroed(module: nn.Module) -> nn.Module:
    """Return ``module`` with weight and bias zero, so that the residual branch it ends begins as nothing.

    See zero convolutions, arXiv 2302.05543.
    """
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
