"""What a tracker sees of tensors of known sizes."""

from collections import Counter

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from vrtspike.profiling.memory_tracker import MemoryTracker
from vrtspike.records.memory import Holder

CPU = torch.device('cpu')
KIB = 1024


class Watched:
    """A tracker whose stage a test sets."""

    def __init__(self):
        self.stage = 'other'
        self.tracker = MemoryTracker(CPU, lambda: self.stage)

    def __enter__(self):
        self.tracker.__enter__()
        self.known = len(self.tracker.changes)
        return self

    def __exit__(self, *exception):
        self.tracker.__exit__(*exception)

    def kib_by_holder(self):
        """Return KiB by holder of what changed since the tracker became active."""
        sums = Counter()
        for _, holder, nbytes in self.tracker.changes[self.known :]:
            sums[holder.name] += nbytes
        return {name: nbytes / KIB for name, nbytes in sums.items() if nbytes}


def kib(size, **options):
    return torch.ones(size * 256, **options)


def test_a_storage_counts_once_until_its_last_view_dies():
    with Watched() as watched:
        x = kib(8)
        view = x[128:].view(-1, 64)
        assert watched.kib_by_holder() == {'temporary/other': 8}
        del x
        assert watched.kib_by_holder() == {'temporary/other': 8}
        del view
        assert watched.kib_by_holder() == {}


def test_tensors_belong_to_the_stage_that_makes_them():
    with Watched() as watched:
        watched.stage = 'one'
        x = kib(1)
        watched.stage = 'two'
        y = x + 1
        assert watched.kib_by_holder() == {'temporary/one': 1, 'temporary/two': 1}
        x += y
        assert watched.kib_by_holder() == {'temporary/one': 1, 'temporary/two': 1}


def test_saved_activations_belong_to_the_stage_that_saves_them_first():
    x = kib(4, requires_grad=True)
    with Watched() as watched:
        watched.stage = 'one'
        y = x.exp()  # saves its result
        watched.stage = 'two'
        z = y.exp() * y
        assert watched.kib_by_holder() == {'saved/one': 4, 'saved/two': 4, 'temporary/two': 4}
        loss = z.sum()
        del y, z
        assert watched.kib_by_holder() == {'saved/one': 4, 'saved/two': 4, 'temporary/two': 4 / KIB}
        watched.stage = 'backward'
        loss.backward()
        assert watched.kib_by_holder() == {'temporary/two': 4 / KIB, 'temporary/backward': 4}


def test_what_is_no_longer_saved_but_alive_is_temporary():
    x = kib(4, requires_grad=True)
    with Watched() as watched:
        y = x.exp()
        loss = y.sum()
        assert watched.kib_by_holder()['saved/other'] == 4
        loss.backward()
        assert 'saved/other' not in watched.kib_by_holder()
        assert watched.kib_by_holder()['temporary/other'] == 4 + 4 + 4 / KIB  # y, the gradient and the loss


def test_of_a_checkpointed_region_its_input_is_saved():
    x = kib(4, requires_grad=True)
    with Watched() as watched:
        y = x * 2
        watched.stage = 'body'
        z = checkpoint(lambda y: y.exp().exp(), y, use_reentrant=False)
        assert watched.kib_by_holder() == {'saved/body': 4, 'temporary/body': 4}
        assert z.requires_grad


def test_parameters_stay_parameters_although_they_are_saved():
    x, weight = kib(4, requires_grad=True), kib(4, requires_grad=True)
    watched = Watched()
    watched.tracker.register(Holder('parameters'), [weight])
    with watched:
        y = x * weight
        assert watched.kib_by_holder() == {'temporary/other': 4}
        assert y.requires_grad
    before = [(holder.name, nbytes / KIB) for _, holder, nbytes in watched.tracker.changes[: watched.known]]
    assert before[0] == ('parameters', 4)
    assert ('before', 4) in before  # x


def test_memory_from_before_that_is_freed_is_told():
    x = kib(512)
    watched = Watched()
    watched.tracker.register(Holder('batch'), [x])
    with watched:
        old = watched.tracker.old_bytes
        del x
        assert watched.kib_by_holder() == {'batch': -512}
        assert [nbytes for _, nbytes in watched.tracker.old_ends] == [-512 * KIB]
    assert old >= 512 * KIB


def test_tensors_can_get_another_holder():
    with Watched() as watched:
        grad = kib(2)
        watched.tracker.reassign(Holder('gradients'), [grad, None])
        assert watched.kib_by_holder() == {'gradients': 2}


def test_a_resized_storage_changes_its_holders_memory():
    with Watched() as watched:
        x = kib(8)
        x.untyped_storage().resize_(0)
        x.untyped_storage().resize_(2 * KIB)
        assert x.view(-1)[:1].numel() == 1  # the next operator that returns it tells
        assert watched.kib_by_holder() == {'temporary/other': 2}


def test_tensors_elsewhere_are_not_seen():
    with Watched() as watched:
        kept = torch.ones(256, device='meta')
        assert watched.kib_by_holder() == {}
        assert kept.is_meta


def test_it_leaves_the_results_alone():
    x = torch.randn(64, requires_grad=True)
    (x.exp() * x).sum().backward()
    expected, x.grad = x.grad, None
    with Watched():
        (x.exp() * x).sum().backward()
    assert torch.equal(x.grad, expected)


def test_after_it_nothing_is_recorded():
    with Watched() as watched:
        x = kib(1)
    number = len(watched.tracker.changes)
    y = x + 1
    del x, y
    assert len(watched.tracker.changes) == number


def test_an_error_in_the_block_ends_it():
    with pytest.raises(ZeroDivisionError), Watched() as watched:
        kib(1 // 0)
    number = len(watched.tracker.changes)
    assert kib(1).numel() == 256
    assert len(watched.tracker.changes) == number


def test_every_operator_is_told():
    calls = []
    with MemoryTracker(CPU, lambda: 'other', lambda: calls.append(1)) as tracker:
        kib(1).exp().add_(1)
    assert len(calls) == len(tracker.ends) == 3
