"""Which policy of activation checkpointing fits a budget, and what autograd saves."""

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.models.layers import checkpointing
from vrtspike.models.layers.checkpointing import MemoryFit, check_policy, saved_bytes

NEEDS = {'none': 100.0, 'ffn': 60.0, 'attn': 40.0, 'all': 10.0}


@pytest.mark.parametrize(
    ('budget', 'policy'), [(100, 'none'), (99, 'ffn'), (60, 'ffn'), (59, 'attn'), (39, 'all'), (5, 'all')]
)
def test_the_fastest_policy_that_fits_is_chosen(monkeypatch, budget, policy):
    monkeypatch.setattr(checkpointing, 'needed_mib', lambda *_: NEEDS)
    found = MemoryFit(budget).choose([], (1, 2, 8, 8), torch.zeros(1))
    assert str(found) == f'{policy}: attention blocks save {NEEDS[policy]:.0f} MiB of the {budget} MiB allowed'


def test_without_a_budget_it_is_half_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(checkpointing, 'needed_mib', lambda *_: NEEDS)
    monkeypatch.setattr(checkpointing, 'free_memory', lambda device: 120 * 2**20)
    assert MemoryFit(None).choose([], (1, 2, 8, 8), torch.zeros(1)).policy == 'ffn'


def test_saved_bytes_are_those_of_distinct_storages():
    x, weight = torch.rand(4, 8, requires_grad=True), torch.rand(8, requires_grad=True)
    assert saved_bytes(lambda x: x * x, x, set()) == 4 * 8 * 4
    assert saved_bytes(lambda x: x * weight, x, {weight.untyped_storage().data_ptr()}) == 4 * 8 * 4
    assert saved_bytes(lambda x: x + weight, x, set()) == 0


def test_an_unknown_policy_is_named():
    for policy in (None, 'auto', 'none', 'ffn', 'attn', 'all'):
        check_policy(policy)
    with pytest.raises(ConfigError, match=r"checkpointing='atn' is unknown.*did you mean 'attn'"):
        check_policy('atn')
