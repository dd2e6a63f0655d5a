import pytest
import torch

from vrtspike.profiling import listening, stage


class Recorder:
    """Writes down every event as (kind, stage)."""

    def __init__(self):
        self.events = []

    def __getattr__(self, event):
        return lambda name: self.events.append((event, name))


def two_stages(x):
    with stage('first') as s:
        x = s.leave(s.enter(x) * 2)
    with stage('second') as s:
        return s.leave(s.enter(x) + 1)


def test_events_come_in_program_order_forward_and_backward():
    x = torch.ones(3, requires_grad=True)
    with listening(Recorder()) as recorder:
        two_stages(x).sum().backward()
    assert recorder.events == [
        ('forward_begins', 'first'),
        ('forward_ends', 'first'),
        ('forward_begins', 'second'),
        ('forward_ends', 'second'),
        ('backward_begins', 'second'),
        ('backward_ends', 'second'),
        ('backward_begins', 'first'),
        ('backward_ends', 'first'),
    ]


def test_values_and_gradients_are_unchanged():
    plain, heard = (torch.arange(3.0).requires_grad_() for _ in range(2))
    out = two_stages(plain)
    out.square().sum().backward()
    with listening(Recorder()):
        marked = two_stages(heard)
        marked.square().sum().backward()
    assert torch.equal(out, marked)
    assert torch.equal(plain.grad, heard.grad)


def test_without_a_listener_nothing_is_added_to_the_graph():
    x = torch.ones(3, requires_grad=True)
    with stage('quiet') as s:
        assert s.enter(x) is x
        assert s.leave(x) is x
    assert 'Marker' not in type(two_stages(x).grad_fn).__name__


def test_without_gradients_only_forward_events_come():
    with listening(Recorder()) as recorder:
        two_stages(torch.ones(3))
    assert {event for event, _ in recorder.events} == {'forward_begins', 'forward_ends'}


def test_listeners_hear_until_their_block_ends():
    with listening(Recorder()) as outer:
        with listening(Recorder()) as inner, stage('both'):
            pass
        with stage('outer alone'):
            pass
    with stage('nobody'):
        pass
    assert inner.events == [('forward_begins', 'both'), ('forward_ends', 'both')]
    assert [name for _, name in outer.events] == ['both', 'both', 'outer alone', 'outer alone']


def test_a_listener_leaves_after_an_error():
    recorder = Recorder()
    with pytest.raises(RuntimeError, match='inside'), listening(recorder):
        raise RuntimeError('inside')
    with stage('later'):
        pass
    assert recorder.events == []


def test_a_compiled_network_stays_one_graph_and_has_no_events():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiled = torch.compile(two_stages, backend=backend, fullgraph=True)
    with listening(Recorder()) as recorder:
        compiled(torch.ones(3, requires_grad=True)).sum().backward()
    compiled(torch.ones(3, requires_grad=True))
    assert (len(graphs), recorder.events) == (1, [])
    torch.compiler.reset()


def test_a_stage_that_fails_still_ends():
    with listening(Recorder()) as recorder, pytest.raises(RuntimeError, match='inside'), stage('failing'):
        raise RuntimeError('inside')
    assert recorder.events == [('forward_begins', 'failing'), ('forward_ends', 'failing')]
