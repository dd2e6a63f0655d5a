"""The selective scan against its recurrence."""

import torch

from vrtspike.models.layers.selective_scan import FASTEST, SLOWEST, SelectiveScan, selective_scan


def arguments(sequences=2, frames=5, channels=3, states=2, dtype=torch.float64):
    torch.manual_seed(0)
    x, step = torch.randn(2, sequences, frames, channels, dtype=dtype)
    into, out_of = torch.randn(2, sequences, frames, states, dtype=dtype)
    return x, step.abs(), -torch.rand(channels, states, dtype=dtype), into, out_of


def test_equals_the_recurrence_written_out():
    x, step, decay, into, out_of = arguments()
    found = selective_scan(x, step, decay, into, out_of)
    for n in range(2):
        for c in range(3):
            state = torch.zeros(2, dtype=torch.float64)
            for t in range(5):
                state = torch.exp(step[n, t, c] * decay[c]) * state + step[n, t, c] * into[n, t] * x[n, t, c]
                torch.testing.assert_close(found[n, t, c], state @ out_of[n, t])


def test_looks_back_only():
    x, *rest = arguments()
    changed = x.clone()
    changed[:, 3] += 1
    difference = (selective_scan(changed, *rest) - selective_scan(x, *rest)).abs()
    assert difference[:, :3].max() == 0
    assert difference[:, 3:].min() > 0


def test_states_are_summed_in_float32_at_least():
    low = [each.bfloat16() for each in arguments()]
    assert selective_scan(*low).dtype == torch.float32
    torch.testing.assert_close(selective_scan(*low), selective_scan(*(each.float() for each in low)))


def test_steps_begin_in_their_range_whatever_the_input():
    scan = SelectiveScan(64)
    steps = torch.nn.functional.softplus(scan.from_context.bias[64:128])
    assert steps.min() >= FASTEST - 1e-4
    assert steps.max() <= SLOWEST + 1e-4


def test_sees_both_directions():
    scan = SelectiveScan(4).double()
    query, context = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    changed = context.clone()
    changed[:, 2] += torch.randn(4)
    assert ((scan(query, changed) - scan(query, context)).abs().amax(-1) > 1e-9).all()
