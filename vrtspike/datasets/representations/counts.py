"""Representations that count spikes.

Every representation takes spikes (steps, H, W) of 0 and 1, NumPy or torch, and returns (K, H, W) float32 of the same
kind: rates in spikes per step. Rate times threshold is linear intensity. Instants are the centres of K equal parts of
the exposure, in steps from its start.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import TypeVar

import numpy as np
import torch

from vrtspike.errors import ConfigError, DataError, require_positive_integers
from vrtspike.registry import REPRESENTATIONS

Array = TypeVar('Array', np.ndarray, torch.Tensor)


@REPRESENTATIONS.register_module()
class Voxel:
    """Spike rate in ``bins`` equal, disjoint bins over the exposure.

    If a bin boundary cuts a step, each of the two bins gets its share of the step. No bin is empty, and the
    counts of the bins (rate times steps / bins) sum to the number of spikes.

    Args:
        bins: K, the number of bins.
    """

    mean_of_steps = True

    def __init__(self, bins: int = 32) -> None:
        require_positive_integers('Voxel', bins=bins)
        self.bins = bins

    def __call__(self, spikes: Array) -> Array:
        """Return the rate in spikes per step, (steps, H, W) of 0 and 1 -> (bins, H, W) float32 in [0, 1]."""
        shares, length = bin_shares(require_steps(spikes), self.bins)
        return add_shares(spikes, shares, length) if isinstance(spikes, np.ndarray) else matmul(spikes, shares, length)


def bin_shares(steps: int, bins: int) -> tuple[list[list[tuple[int, int]]], int]:
    """Return (step, share) of every step in each bin, and the length of a bin.

    Both are in the largest unit in which they are whole numbers: a step is bins / gcd(steps, bins) units long, a bin
    steps / gcd(steps, bins).
    """
    gcd = math.gcd(steps, bins)
    step, length = bins // gcd, steps // gcd
    shares = []
    for start in range(0, bins * length, length):
        end = start + length
        whole = range(start // step, -(-end // step))
        shares.append([(s, min(end, (s + 1) * step) - max(start, s * step)) for s in whole])
    return shares, length


def add_shares(spikes: np.ndarray, shares: list[list[tuple[int, int]]], length: int) -> np.ndarray:
    """Return the bins of NumPy spikes. Counting in the smallest integer type is exact and faster than in floats."""
    counter = np.min_scalar_type(length).type
    spikes = spikes.astype(np.uint8, copy=False)
    rates = np.empty((len(shares), *spikes.shape[1:]), np.float32)
    count, part = (np.empty(spikes.shape[1:], counter) for _ in range(2))
    for rate, parts in zip(rates, shares, strict=True):
        count.fill(0)
        for step, share in parts:
            count += np.multiply(spikes[step], counter(share), out=part, dtype=counter)
        np.copyto(rate, count)
        rate *= np.float32(1 / length)
    return rates


def matmul(spikes: torch.Tensor, shares: list[list[tuple[int, int]]], length: int) -> torch.Tensor:
    """Return the bins of torch spikes as one matrix product, on their device."""
    weights = torch.zeros(len(shares), len(spikes))
    for row, parts in zip(weights, shares, strict=True):
        for step, share in parts:
            row[step] = share
    rates = weights.to(spikes.device) @ spikes.flatten(1).float()
    return rates.div_(length).unflatten(1, spikes.shape[1:])


@REPRESENTATIONS.register_module()
class TFP:
    """Texture from playback: the spike rate in a window of steps around each instant, within the exposure.

    Args:
        bins: K, the number of instants.
        window: Steps of a window; None takes the whole exposure at every instant.
    """

    mean_of_steps = True

    def __init__(self, bins: int = 1, window: int | None = None) -> None:
        require_positive_integers('TFP', bins=bins, **({} if window is None else {'window': window}))
        self.bins, self.window = bins, window

    def __call__(self, spikes: Array) -> Array:
        """Return the rates, (steps, H, W) of 0 and 1 -> (bins, H, W) float32 in [0, 1]."""
        steps = require_steps(spikes)
        window = 2 * steps if self.window is None else self.window
        parts = [window_around(instant, window, steps) for instant in instants(steps, self.bins)]
        return namespace(spikes).stack([rate(spikes[start:end]) for start, end in parts])


@REPRESENTATIONS.register_module()
class RawWindow:
    """The spikes themselves, ``length`` steps around the middle of the exposure.

    Args:
        length: L, an odd number of steps, centred on the middle step of the exposure. If the exposure has an even
            number of steps, its middle step is the one after its centre.
    """

    mean_of_steps = True

    def __init__(self, length: int = 41) -> None:
        require_positive_integers('RawWindow', length=length)
        self.length = length
        if length % 2 == 0:
            raise ConfigError(f'RawWindow got length={length}, expected an odd number of steps around the middle one')

    def __call__(self, spikes: Array) -> Array:
        """Return (steps, H, W) of 0 and 1 -> (length, H, W) float32 of 0 and 1."""
        steps = require_steps(spikes)
        if steps < self.length:
            raise DataError(f'RawWindow(length={self.length}) got {steps} steps: choose a shorter window')
        start = steps // 2 - self.length // 2
        return as_float(spikes[start : start + self.length])


def tfp(spikes: Array, threshold: float) -> Array:
    """Play spikes back (texture from playback): their mean over the window times the threshold.

    Args:
        spikes: (..., steps, H, W) of 0 and 1.
        threshold: Light a pixel integrates before it fires, in units of full intensity times one step.

    Returns:
        Linear intensity (..., H, W), float32.
    """
    require_steps(spikes)
    if isinstance(spikes, torch.Tensor):
        return spikes.mean(dim=-3, dtype=torch.float32) * threshold
    return spikes.mean(axis=-3, dtype=np.float32) * np.float32(threshold)


def rate(spikes: Array) -> Array:
    """Return the spike rate (H, W) float32 of spikes (steps, H, W)."""
    return tfp(spikes, 1.0)


def instants(steps: int, bins: int) -> list[float]:
    """Return the centres of ``bins`` equal parts of the exposure, in steps from its start."""
    return [(2 * k + 1) * steps / (2 * bins) for k in range(bins)]


def window_around(instant: float, window: int, steps: int) -> tuple[int, int]:
    """Return (first, end) of the ``window`` steps nearest to an instant, limited to the exposure."""
    start = math.ceil(instant - window / 2)
    first = min(max(start, 0), steps - 1)
    return first, max(min(start + window, steps), first + 1)


def namespace(spikes: Array) -> ModuleType:
    """Return the module, NumPy or torch, whose functions take ``spikes``."""
    return torch if isinstance(spikes, torch.Tensor) else np


def as_float(spikes: Array) -> Array:
    """Return ``spikes`` as float32, of the same kind."""
    return spikes.float() if isinstance(spikes, torch.Tensor) else spikes.astype(np.float32)


def require_steps(spikes: Array) -> int:
    """Return the number of steps of (..., steps, H, W), at least one."""
    if spikes.ndim < 3 or spikes.shape[-3] == 0:
        raise DataError(
            f'spikes have the shape {tuple(spikes.shape)}, expected (..., steps, H, W) with one step or more'
        )
    return spikes.shape[-3]
