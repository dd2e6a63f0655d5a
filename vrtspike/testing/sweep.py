"""Every registered part at a tiny size, and combinations that cover every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from vrtspike.config.signatures import keys_of
from vrtspike.contracts import Registry
from vrtspike.models.restorer import SpikeRestorer
from vrtspike.registry import BACKBONES, FUSION_HEADS, SPIKE_ENCODERS, TSA

BINS, CHANNELS = 4, 8
TINY = dict(
    # Backbones.
    upscale=1, img_size=[2, 16, 16], window_size=[2, 4, 4], depths=[1] * 8, indep_reconsts=[], embed_dims=[8] * 8,
    num_heads=[2] * 8, deformable_groups=2,
    # The spike side.
    bins=BINS, channels=CHANNELS, heads=2, states=2,
)  # fmt: skip
"""Small values of arguments that parts commonly have; a part is given those that it takes."""
TINY_OF = dict(VRTLite=dict(depths=[1] * 7, embed_dims=[8] * 7))
"""Where a part of ours reads such an argument otherwise."""

REGISTRIES = dict(backbone=BACKBONES, spike_encoder=SPIKE_ENCODERS, tsa=TSA, fusion=FUSION_HEADS)
DEFAULTS = dict(
    backbone='VRT', spike_encoder='SpikeEncoder3D', tsa='TemporalSelfAttention', fusion='TemporalCrossAttention'
)


def tiny_arguments(registry: Registry, name: str, **arguments: Any) -> dict[str, Any]:
    """Return arguments that make the part ``name`` small: those of :data:`TINY` that it takes, and ``arguments``.

    A plugin's class that reads one otherwise says so itself, with a class attribute ``tiny = dict(...)``.
    """
    part = registry.get(name)
    small = {**TINY, **TINY_OF.get(name, {}), **getattr(part, 'tiny', {}), **arguments}
    return {key: small[key] for key in keys_of(part).names if key in small}


def tiny_restorer(**names: str) -> SpikeRestorer:
    """Return a small restorer of the parts that ``names`` say, the others being the baseline's.

    >>> tiny_restorer(fusion='GatedFusion', tsa='IdentityTSA').uses_spikes
    True
    """
    chosen = {**DEFAULTS, **names}
    nodes = {place: dict(type=name, **tiny_arguments(REGISTRIES[place], name)) for place, name in chosen.items()}
    for place in ('tsa', 'fusion'):  # the restorer fills this in
        nodes[place].pop('channels', None)
    return SpikeRestorer(**nodes)


def pairwise(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return combinations of the factors' values in which every pair of values of two factors occurs.

    Greedy: each combination covers as many pairs as still can be. The number is near that of the two longest factors'
    pairs, where all combinations would be their product.

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
