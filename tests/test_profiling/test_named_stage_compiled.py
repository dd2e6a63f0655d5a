"""Named stages of networks that are compiled, whole or in parts."""

import pytest
import torch
from named_networks import Net
from torch import nn

from vrtspike.profiling import listening
from vrtspike.profiling.named_stages import NamedStages


class Branch(nn.Module):
    """A module that is no part of PyTorch, and that a compiler therefore compiles."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x).sin().cos()


class Events(list):
    def __getattr__(self, event):
        return lambda name: self.append((event, name))


def compiled_events(model, compiled, graphs):
    """Return the events, and the sizes of new graphs, of calls without and with a listener, twice each."""
    events, sizes = Events(), []
    for listens in (False, True, False, True):
        graphs.clear()
        if listens:
            del events[:]
            with listening(events):
                compiled(torch.ones(2, 4)).sum().backward()
        else:
            compiled(torch.ones(2, 4)).sum().backward()
        sizes.append([*graphs])
    return events, sizes


@pytest.fixture
def graphs():
    torch.compiler.reset()
    yield []
    torch.compiler.reset()


def recording(graphs):
    """Return a backend that runs graphs as they are and notes how many operators they have."""

    def backend(graph, inputs):
        graphs.append(sum(node.op.startswith('call') for node in graph.graph.nodes))
        return graph

    return backend


EXPECTED = [
    ('forward_begins', 'first'),
    ('forward_ends', 'first'),
    ('forward_begins', 'last'),
    ('forward_ends', 'last'),
    ('backward_begins', 'last'),
    ('backward_ends', 'last'),
    ('backward_begins', 'first'),
    ('backward_ends', 'first'),
]


def three_branches():
    return Net(
        lambda net, x: net.last((net.middle(net.first(x)) * 2).tanh()), first=Branch(), middle=Branch(), last=Branch()
    )


def test_a_compiled_network_stays_one_graph(graphs):
    model = three_branches()
    compiled = torch.compile(model, backend=recording(graphs), fullgraph=True)
    with NamedStages(model, {'first': 'first', 'last': 'last'}) as named:
        events, sizes = compiled_events(model, compiled, graphs)
    assert (events, sizes) == ([], [[11], [], [], []])
    assert 'outside of a compiled graph' in named.limits()[0]


def test_compiled_blocks_stay_whole(graphs):
    model = three_branches()
    for block in (model.first, model.last):
        block.compile(backend=recording(graphs), fullgraph=True)
    original = model.first._compiled_call_impl
    with NamedStages(model, {'first': 'first', 'last': 'last'}):
        events, sizes = compiled_events(model, model, graphs)
    assert events == EXPECTED
    assert sizes == [[3, 3], [], [], []]
    assert model.first._compiled_call_impl is original


def test_a_compiled_module_of_its_own_is_found_by_its_path(graphs):
    model = three_branches()
    model.first = torch.compile(model.first, backend=recording(graphs))
    with NamedStages(model, {'first': 'first', 'last': 'last'}):
        events, sizes = compiled_events(model, model, graphs)
    assert events == EXPECTED
    assert sizes == [[3], [], [], []]
