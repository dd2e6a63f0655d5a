"""What branches save and what their recomputation costs, measured one at a time."""

import gc
import weakref

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from vrtspike.models.layers import branch_costs as measuring
from vrtspike.models.layers.blocks import AttentionBlock, AttentionGroup
from vrtspike.models.layers.branch_costs import (
    BlockGroup,
    Branch,
    Trial,
    branch_costs,
    branches_of,
    can_be_timed,
    copy_to,
    counted,
    recomputed_gmacs,
    timed,
)
from vrtspike.ops.gated_linear import recomputing
from vrtspike.runtime.device import call_seconds

SIZE = (1, 2, 8, 8)
TOKENS = 2 * 8 * 8
MAP = 8 * TOKENS * 4
"""Bytes of a map of 8 channels."""
CPU = torch.device('cpu')


def group_of(depth=2, mutual=False, window=(2, 4, 4), **options):
    torch.manual_seed(0)
    return AttentionGroup(
        depth, channels=8, heads=2, window=window, mutual=mutual, drop_paths=[0.0] * depth, **options
    ).train()


def branch_of(block, name, size=SIZE, dtype=torch.float32):
    return Branch(block, name, (*size, 8), dtype)


def branches(group, size=SIZE, dtype=torch.float32):
    return list(branches_of([BlockGroup(group, 1, dtype)], size))


def freed_with_graph(function, x):
    """Return the bytes that are freed with the graph of ``function(x)``, and those of ``x``."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage._cdata] = weakref.ref(storage), storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = function(x)
    before = sum(size for storage, size in storages.values() if storage() is not None)
    del out
    return before - sum(size for storage, size in storages.values() if storage() is not None) + x.nbytes


def test_an_mlp_saves_its_input_the_normalised_map_and_two_hidden_maps():
    cost = timed(branch_of(group_of().blocks[0], 'ffn'), CPU)
    assert cost.input_bytes == MAP
    assert cost.saved_bytes == 2 * MAP + 2 * 2 * MAP
    assert cost.freed_bytes == cost.saved_bytes - MAP


@pytest.mark.parametrize('mutual', [False, True])
def test_what_blocks_save_is_what_their_branches_save(mutual):
    group = group_of(mutual=mutual)
    x = torch.rand(*SIZE, 8).requires_grad_()
    assert freed_with_graph(group, x) == sum(cost.saved_bytes for cost in branch_costs(branches(group), CPU, timed))


def test_the_second_measurement_finds_the_same_bytes():
    (branch, *_) = branches(group_of())
    trial = Trial(branch, CPU)
    assert trial.saved_bytes() == trial.saved_bytes() > 0


def test_lower_precision_saves_less():
    costs = {}
    for enabled in (False, True):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
            costs[enabled] = branch_costs(branches(group_of()), CPU, timed)
    for half, single in zip(costs[True], costs[False], strict=True):
        assert half.saved_bytes < single.saved_bytes


def test_the_trial_leaves_no_copies_of_weights_to_autocast():
    group = group_of()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        branch_costs(branches(group), CPU, timed)
        gc.collect()
        left = [x for x in gc.get_objects() if type(x) is torch.Tensor and x.dtype is torch.bfloat16]
    assert not left


def test_the_fastest_of_a_few_recomputations_counts(monkeypatch):
    seconds = iter([0.003, 0.001, 0.002])

    def planted(function, device):
        function()
        return next(seconds)

    monkeypatch.setattr(measuring, 'call_seconds', planted)
    assert timed(branch_of(group_of().blocks[0], 'attn'), CPU).work == 1.0
    assert not list(seconds)


@pytest.mark.parametrize('name', ['attn', 'ffn'])
def test_a_trial_saves_as_many_tensors_as_checkpointing_does(name):
    """Then it stops where checkpointing stops."""
    block, saves = group_of().blocks[0], []
    trial = Trial(branch_of(block, name), CPU)
    trial.saved_bytes()
    x = torch.rand(*SIZE, 8).requires_grad_()
    function = block.branches(x)[name == 'ffn']
    out = checkpoint(function, x, 1.0, use_reentrant=False)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saves.append(x.detach()), lambda x: x):
        function(x, 1.0)
    out.sum().backward()
    assert trial.saves == len(saves) > 0


def test_a_recomputation_stops_before_the_last_product(monkeypatch):
    trial, products = Trial(branch_of(group_of().blocks[0], 'ffn'), CPU), []
    plain = recomputing._Linear.forward

    def forward(*arguments):
        products.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(recomputing._Linear, 'forward', staticmethod(forward))
    trial.saved_bytes()
    assert len(products) == 1
    trial.recompute()
    assert len(products) == 1


def measured_kinds(group, size):
    measured = []
    branch_costs(branches(group, size), CPU, lambda branch, device: measured.append(branch.name))
    return sorted(measured)


def test_every_kind_of_branch_is_measured_once():
    assert measured_kinds(group_of(4), SIZE) == ['attn', 'attn', 'ffn']  # the windows of every second one are shifted
    assert measured_kinds(group_of(4, window=(2, 8, 8)), SIZE) == ['attn', 'ffn']  # too small to shift
    group = group_of(4)
    group.blocks[0].requires_grad_(False)
    assert measured_kinds(group, SIZE) == ['attn', 'attn', 'attn', 'ffn', 'ffn']


def test_groups_of_other_heads_windows_and_sizes_are_of_other_kinds():
    other = AttentionBlock(8, 4, (2, 4, 4), (0, 0, 0), mutual=False)
    kinds = {
        branch_of(group_of().blocks[0], 'attn').kind,
        branch_of(other, 'attn').kind,
        branch_of(group_of(mutual=True).blocks[0], 'attn').kind,
        branch_of(group_of(window=(1, 4, 4)).blocks[0], 'attn').kind,
        branch_of(group_of().blocks[0], 'attn', (1, 2, 16, 8)).kind,
        branch_of(group_of().blocks[0], 'attn', dtype=torch.bfloat16).kind,
    }
    assert len(kinds) == 6


@pytest.mark.parametrize('measure', [timed, counted])
def test_the_training_notices_nothing(measure):
    group = group_of(checkpoint_ffn=True)
    state, weights = torch.get_rng_state(), {name: p.clone() for name, p in group.named_parameters()}
    branch_costs(branches(group), CPU, measure)
    assert torch.equal(torch.get_rng_state(), state)
    for name, p in group.named_parameters():
        assert torch.equal(p, weights[name])
        assert p.grad is None
    assert [(b.checkpoint_attn, b.checkpoint_ffn) for b in group.blocks] == [(False, True)] * 2


def test_one_branch_is_in_memory_at_a_time_and_none_afterwards(monkeypatch):
    trials = []

    def alive():
        return [trial for trial in trials if trial() is not None]

    class Watched(Trial):
        def __init__(self, *arguments):
            assert not alive()
            super().__init__(*arguments)
            trials.append(weakref.ref(self.x))

    monkeypatch.setattr(measuring, 'Trial', Watched)
    branch_costs(branches(group_of()), CPU, timed)  # cached tables may stay
    gc.collect()
    before = sum(isinstance(x, torch.Tensor) for x in gc.get_objects())
    branch_costs(branches(group_of()), CPU, timed)
    assert len(trials) == 6
    assert not alive()
    assert sum(isinstance(x, torch.Tensor) for x in gc.get_objects()) == before


def test_multiply_accumulates_of_a_recomputation_by_hand():
    block = group_of().blocks[0]
    products, scores = TOKENS * 8 * 3 * 8, TOKENS * 32 * 2 * 8
    assert 1e9 * recomputed_gmacs(branch_of(block, 'attn')) == pytest.approx(products + scores)
    assert 1e9 * recomputed_gmacs(branch_of(block, 'ffn')) == pytest.approx(TOKENS * 8 * 32)


def test_counted_costs_have_the_measured_bytes():
    for branch in branches(group_of()):
        assert counted(branch, CPU)[:2] == timed(branch, CPU)[:2]


def test_only_real_blocks_are_timed():
    found, clip = branches(group_of()), torch.zeros(1)
    assert can_be_timed(found, clip)
    assert not can_be_timed(found, clip.to('meta'))
    found[0].block.compiled = True
    assert not can_be_timed(found, clip)


def test_a_copy_shares_the_weights_and_nothing_else():
    block = group_of().blocks[0]
    copied = copy_to(torch.device('cpu'), block)
    for name, weight in block.named_parameters():
        other = copied.get_parameter(name)
        assert other is not weight
        assert other.data_ptr() == weight.data_ptr()
        assert other.requires_grad == weight.requires_grad
    assert all(tensor.is_meta for tensor in copy_to(torch.device('meta'), block).state_dict().values())


def test_the_clock_waits_for_the_device_once_before_and_once_after(monkeypatch):
    waited = []
    monkeypatch.setattr('vrtspike.runtime.device.synchronize', waited.append)
    trial = Trial(branch_of(group_of().blocks[0], 'ffn'), CPU)
    trial.saved_bytes()
    assert measuring.call_seconds is call_seconds
    monkeypatch.setattr('vrtspike.runtime.device.time.perf_counter', iter((1.0, 3.5)).__next__)
    assert trial.seconds() == 2.5
    assert waited == [torch.device('cpu')] * 2
