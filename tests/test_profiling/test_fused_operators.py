from contextlib import contextmanager

from vrtspike.profiling import fused_operators as module
from vrtspike.profiling.fused_operators import fused_operators, register_fused_operators


def test_every_registered_context_gets_the_counter_and_is_left(monkeypatch):
    monkeypatch.setattr(module, '_registered', [])
    events = []

    def registered(name):
        @contextmanager
        def context(run_as_one):
            events.append((name, run_as_one))
            yield
            events.append(name)

        register_fused_operators(context)

    registered('a')
    registered('b')
    with fused_operators(len):
        assert events == [('a', len), ('b', len)]
    assert events[2:] == ['b', 'a']
