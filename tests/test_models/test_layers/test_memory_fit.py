"""Which branches are recomputed for a budget, with planted bytes and times."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.models.layers import memory_fit
from vrtspike.models.layers.blocks import AttentionGroup
from vrtspike.models.layers.branch_costs import BlockGroup, BranchCost, branches_of
from vrtspike.models.layers.checkpointing import attention_blocks
from vrtspike.models.layers.memory_fit import Choice, MemoryFit, cheapest_that_fit

MIB = 2**20
COSTS = st.builds(BranchCost, st.integers(0, 100), st.integers(0, 20), st.floats(0, 50))
CLIP = torch.zeros(1, 2, 3, 8, 8)
SIZE = (1, 2, 8, 8)


def saved(costs, recomputed):
    return sum(cost.input_bytes if chosen else cost.saved_bytes for cost, chosen in zip(costs, recomputed, strict=True))


@given(st.lists(COSTS, max_size=8), st.integers(0, 500))
def test_it_fits_whenever_anything_fits(costs, budget):
    recomputed = cheapest_that_fit(costs, budget)
    least = sum(min(cost.input_bytes, cost.saved_bytes) for cost in costs)
    assert saved(costs, recomputed) <= max(budget, least)


@given(st.lists(COSTS, max_size=8), st.integers(0, 100))
def test_nothing_is_recomputed_where_all_fits(costs, left):
    assert not any(cheapest_that_fit(costs, saved(costs, [False] * len(costs)) + left))


@given(st.lists(COSTS, max_size=8), st.integers(0, 500))
def test_nothing_is_recomputed_in_vain(costs, budget):
    recomputed = cheapest_that_fit(costs, budget)
    total = saved(costs, recomputed)
    for cost, chosen in zip(costs, recomputed, strict=True):
        if chosen:
            assert cost.freed_bytes > 0
            assert total > budget or total + cost.freed_bytes > budget


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 100))
def test_of_branches_of_one_size_the_cheapest_are_recomputed(works, budget):
    costs = [BranchCost(10, 2, work) for work in works]
    recomputed = cheapest_that_fit(costs, budget)
    dearest = max((work for work, chosen in zip(works, recomputed, strict=True) if chosen), default=0)
    assert all(chosen or work >= dearest for work, chosen in zip(works, recomputed, strict=True))


@given(st.lists(st.integers(3, 100), max_size=8), st.integers(0, 500))
def test_of_branches_of_one_time_the_largest_are_recomputed_first(sizes, budget):
    costs = [BranchCost(size, 2, 1.0) for size in sizes]
    needed = saved(costs, [False] * len(costs)) - budget
    largest = sorted((size - 2 for size in sizes), reverse=True)
    enough = next((n for n in range(len(sizes) + 1) if sum(largest[:n]) >= needed), len(sizes))
    assert sum(cheapest_that_fit(costs, budget)) == enough


def test_among_equals_early_branches_are_recomputed():
    assert cheapest_that_fit([BranchCost(10, 0, 1.0)] * 4, 20) == [True, True, False, False]


def test_what_frees_more_than_needed_lets_others_be_saved():
    costs = [BranchCost(10, 0, 1.0), BranchCost(20, 0, 3.0), BranchCost(100, 0, 50.0)]
    assert cheapest_that_fit(costs, 110) == [False, True, False]
    assert cheapest_that_fit(costs, 30) == [False, False, True]
    assert cheapest_that_fit(costs, 29) == [True, False, True]


def test_a_branch_that_saves_no_more_than_its_input_is_never_recomputed():
    assert cheapest_that_fit([BranchCost(10, 10, 0.0), BranchCost(5, 10, 0.0)], 0) == [False, False]


@pytest.fixture
def planted(monkeypatch):
    """Plant what attention (8 MiB, 2 ms) and MLPs (4 MiB, 0.5 ms) cost; their inputs have 1 MiB. Return the calls."""
    costs = {'attn': BranchCost(8 * MIB, MIB, 2.0), 'ffn': BranchCost(4 * MIB, MIB, 0.5)}
    calls = []

    def branch_costs(branches, like, measure):
        calls.append(measure)
        return [costs[branch.name] for branch in branches]

    monkeypatch.setattr(memory_fit, 'branch_costs', branch_costs)
    return calls


def two_blocks(drop_path=0.0):
    return AttentionGroup(2, channels=4, heads=2, window=(2, 4, 4), mutual=False, drop_paths=[drop_path] * 2)


def branches(**options):
    return list(branches_of([BlockGroup(two_blocks(**options), 1, torch.float32)], SIZE))


def flags(group):
    return [flag for block in attention_blocks(group) for flag in (block.checkpoint_attn, block.checkpoint_ffn)]


@pytest.mark.parametrize(
    ('budget', 'expected'),
    [
        (24, [False, False, False, False]),
        (23, [False, True, False, False]),
        (18, [False, True, False, True]),
        (17, [True, False, False, False]),
        (11, [True, True, False, True]),
        (4, [True, True, True, True]),
        (0, [True, True, True, True]),
    ],
)
def test_the_blocks_do_what_was_chosen(planted, budget, expected):
    group = two_blocks()
    MemoryFit(budget)([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    assert flags(group) == expected


def test_a_choice_says_how_much_is_recomputed_and_what_it_costs(planted):
    found = MemoryFit(12).choose(branches(), CLIP)
    assert str(found) == (
        '3 of 4 branches are recomputed; they save 11.0 MiB of the 12.0 MiB allowed; about 3 ms more per iteration'
    )


def test_dropped_branches_are_not_expected_to_take_time(planted):
    found = MemoryFit(0).choose(branches(drop_path=0.25), CLIP)
    assert found.work == 0.75 * 5


def test_there_is_one_choice_and_one_line_for_every_size(planted):
    group, fit = two_blocks(), MemoryFit(18)
    fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    fit([BlockGroup(group, 1, torch.float32)], (1, 2, 16, 16), CLIP)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    small, large, lower = fit.lines()
    assert len(planted) == 3
    assert small.startswith('checkpointing of clips 1 x 2 x 8 x 8: 2 of 4 branches')
    assert large.startswith('checkpointing of clips 1 x 2 x 16 x 16: 2 of 4 branches')
    assert lower.startswith('checkpointing of clips 1 x 2 x 8 x 8, autocast: ')


def test_the_blocks_follow_the_size_of_the_clip(monkeypatch):
    monkeypatch.setattr(
        memory_fit, 'branch_costs', lambda branches, *_: [BranchCost(b.shape[2] * MIB, 0, 1.0) for b in branches]
    )
    group, fit = two_blocks(), MemoryFit(32)
    for height, expected in ((8, False), (16, True), (8, False)):
        fit([BlockGroup(group, 1, torch.float32)], (1, 2, height, 8), CLIP)
        assert flags(group)[0] is expected


def test_another_choice_is_made_when_frozen_weights_are_trained(planted):
    group, fit = two_blocks(), MemoryFit(18)
    for trained in (False, True, True):
        fit([BlockGroup(group.requires_grad_(trained), 1, torch.float32)], SIZE, CLIP)
    assert [set(case.trained) for case in fit.choices] == [{False}, {True}]


def test_without_a_budget_it_is_a_third_of_the_free_memory(planted, monkeypatch):
    monkeypatch.setattr(memory_fit, 'free_memory', lambda device: 54 * MIB)
    found = MemoryFit(None).choose(branches(), CLIP)
    assert found.budget_mib == found.saved_mib == 18


def test_a_copy_that_counts_keeps_what_was_chosen(planted):
    group, fit = two_blocks(), MemoryFit(18)
    fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    copied, copied_fit = copy.deepcopy((group.to('meta'), fit))
    copied_fit([BlockGroup(copied, 1, torch.float32)], (4, *SIZE[1:]), CLIP.to('meta'))
    assert flags(copied) == [False, True, False, True]
    assert len(copied_fit.choices) == 1


def test_a_copy_of_an_untrained_network_counts():
    group, fit = two_blocks().to('meta'), MemoryFit(0)
    fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP.to('meta'))
    (choice,) = fit.choices.values()
    assert choice.unit == 'GMAC'
    assert choice.work > 0
    assert flags(group) == [True] * 4


def test_a_compiler_finds_the_blocks_as_they_are(planted):
    group, fit = two_blocks(), MemoryFit(0)

    def chosen(x):
        fit([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
        return x + 1

    torch.compile(chosen, backend='eager', fullgraph=True)(torch.zeros(1))
    assert flags(group) == [False] * 4
    assert not planted


def test_compiled_blocks_are_not_timed(planted):
    group = two_blocks()
    for compiled in (False, True):
        for block in attention_blocks(group):
            block.compiled = compiled
        MemoryFit(4)([BlockGroup(group, 1, torch.float32)], SIZE, CLIP)
    assert [measure.__name__ for measure in planted] == ['timed', 'counted']


def test_a_choice_has_the_unit_of_its_work():
    found = Choice((True,), saved_mib=1.0, budget_mib=2.0, work=0.25, unit='GMAC')
    assert str(found).endswith('about 0.25 GMAC more per iteration')
