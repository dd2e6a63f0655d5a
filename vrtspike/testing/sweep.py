"""Registered parts at a tiny size, and combinations of parts that cover every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from vrtspike.config.signatures import keys_of
from vrtspike.contracts import Registry
from vrtspike.models.restorer import SpikeRestorer
from vrtspike.registry import BACKBONES, FUSION_HEADS, SPIKE_ENCODERS, TSA

BINS, CHANNELS = 4, 8
TINY_BACKBONE = dict(
    upscale=1,
    img_size=[2, 16, 16],
    window_size=[2, 4, 4],
    depths=[1] * 8,
    indep_reconsts=[],
    embed_dims=[8] * 8,
    num_heads=[2] * 8,
    deformable_groups=2,
)
TINY = TINY_BACKBONE | dict(bins=BINS, channels=CHANNELS, heads=2, states=2)
"""Small values of common arguments; a part gets those that it takes."""
TINY_OF = dict(VRTLite=dict(depths=[1] * 7, embed_dims=[8] * 7), ResidualCNN=dict(channels=8, depths=[1] * 4))
"""Other values, for parts that need them."""

REGISTRIES = dict(backbone=BACKBONES, spike_encoder=SPIKE_ENCODERS, tsa=TSA, fusion=FUSION_HEADS)
DEFAULTS = dict(
    backbone='VRT', spike_encoder='SpikeEncoder3D', tsa='TemporalSelfAttention', fusion='TemporalCrossAttention'
)


def tiny_arguments(registry: Registry, name: str, **arguments: Any) -> dict[str, Any]:
    """Return arguments that make the part ``name`` small: those of :data:`TINY` that it takes, and ``arguments``.

    A class that needs other values has them in an attribute ``tiny = dict(...)``.
    """
    part = registry.get(name)
    small = {**TINY, **TINY_OF.get(name, {}), **getattr(part, 'tiny', {}), **arguments}
    return {key: small[key] for key in keys_of(part).names if key in small}


def tiny_restorer(**names: str) -> SpikeRestorer:
    """Return a small restorer with the named parts; the others are the baseline's.

    >>> tiny_restorer(fusion='GatedFusion', tsa='IdentityTSA').uses_spikes
    True
    """
    chosen = {**DEFAULTS, **names}
    nodes = {key: dict(type=name, **tiny_arguments(REGISTRIES[key], name)) for key, name in chosen.items()}
    for key in ('tsa', 'fusion'):  # the restorer fills in their channels
        nodes[key].pop('channels', None)
    return SpikeRestorer(**nodes)


def pairwise(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return combinations of the factors' values such that every pair of values of two factors occurs.

    Each combination is chosen greedily to cover as many new pairs as possible. Their number is close to the product of
    the two longest factors, far below that of all combinations.

    Args:
        factors: Values by the factor's name.
    """
    names = list(factors)
    open_pairs = {
        frozenset(((a, x), (b, y))) for a, b in combinations(names, 2) for x, y in product(factors[a], factors[b])
    }
    found = []
    while open_pairs:
        chosen = dict(sorted(min(open_pairs, key=sorted)))
        for name in names:
            if name not in chosen:
                chosen[name] = max(factors[name], key=lambda value: _newly_covered(open_pairs, chosen, name, value))
        open_pairs -= {frozenset(pair) for pair in combinations(chosen.items(), 2)}
        found.append({name: chosen[name] for name in names})
    return found


def _newly_covered(open_pairs: set[frozenset], chosen: Mapping[str, str], name: str, value: str) -> int:
    return sum(frozenset((item, (name, value))) in open_pairs for item in chosen.items())
