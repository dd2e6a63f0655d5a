"""Combinations, and every registered part alone and in a restorer."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.registry import BACKBONES, FUSION_HEADS, REPRESENTATIONS, SPIKE_ENCODERS, TSA
from vrtspike.testing import (
    check_backbone,
    check_fusion_head,
    check_representation,
    check_spike_encoder,
    check_tsa,
    pairwise,
    tiny_restorer,
)
from vrtspike.testing.sweep import BINS, DEFAULTS, REGISTRIES

FACTORS = {place: registry.names() for place, registry in REGISTRIES.items()}
ALONE = [
    (check, name)
    for check, registry in (
        (check_fusion_head, FUSION_HEADS),
        (check_tsa, TSA),
        (check_spike_encoder, SPIKE_ENCODERS),
        (check_representation, REPRESENTATIONS),
        (check_backbone, BACKBONES),
    )
    for name in registry.names()
]
ONE_AT_A_TIME = [{place: name} for place, names in FACTORS.items() for name in names if name != DEFAULTS[place]]


def restore(**names):
    """Return the loss of a tiny restorer on random clips."""
    torch.manual_seed(0)
    model = tiny_restorer(**names)
    blur, sharp = torch.rand(2, 1, 2, 3, 16, 16)
    return model, model(blur, torch.rand(1, 2, BINS, 8, 8), sharp, mode='loss')['loss']


@pytest.mark.parametrize(('check', 'name'), ALONE, ids=lambda value: value if isinstance(value, str) else '')
def test_every_part_keeps_its_promises(check, name):
    check(dict(type=name))


@pytest.mark.parametrize('names', ONE_AT_A_TIME, ids=lambda names: '-'.join(names.values()))
def test_every_part_trains_beside_the_defaults(names):
    model, loss = restore(**names)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('names', pairwise(FACTORS), ids=lambda names: '-'.join(names.values()))
def test_every_pair_of_parts_restores(names):
    with torch.no_grad():
        _, loss = restore(**names)
    assert loss.isfinite()


VALUES = st.lists(st.sampled_from('123456'), min_size=1, unique=True)


@given(st.dictionaries(st.sampled_from('abcd'), VALUES, min_size=2))
def test_pairs_are_covered_by_few_combinations(factors):
    found = pairwise(factors)
    for one, other in combinations(factors, 2):
        assert {(each[one], each[other]) for each in found} == set(product(factors[one], factors[other]))
    longest, second = sorted((len(values) for values in factors.values()), reverse=True)[:2]
    assert longest * second <= len(found) <= 2 * longest * second


def test_what_backbone_checks_see():
    class Deaf(BACKBONES.get('VRT')):
        """Throws away what fuse returns."""

        def forward(self, clip, *, fuse=None):
            return super().forward(clip, fuse=(lambda i, x: [x, fuse(i, x)][0]) if fuse else None)

    BACKBONES.register_module(module=Deaf)
    try:
        with pytest.raises(AssertionError, match='what fuse returns does not reach the output'):
            check_backbone(dict(type='Deaf'))
    finally:
        del BACKBONES.module_dict['Deaf']
