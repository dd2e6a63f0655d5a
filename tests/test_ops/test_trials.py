from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import planted_backends as planted
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from vrtspike.errors import VrtSpikeError
from vrtspike.ops import DEFORM_CONV2D, WINDOW_ATTENTION, trials
from vrtspike.ops.deform_conv.trials import trial_of_convolution
from vrtspike.ops.trials import TOLERANCES, Outcome, difference, outcome_of
from vrtspike.ops.window_attention.reference import reference
from vrtspike.ops.window_attention.trials import trial_of_attention, trial_of_windows
from vrtspike.ops.window_attention.windows import Settings
from vrtspike.runtime import device


@pytest.fixture(autouse=True)
def _planted_clock(monkeypatch):
    monkeypatch.setattr(device, 'time', SimpleNamespace(perf_counter=lambda: planted.clock.seconds))


@contextmanager
def unguarded(name):
    yield


def attempt(*names, trains=True, guard=unguarded):
    *backends, reference = planted.operator(*names).backends
    return outcome_of(backends, reference, planted.trial(torch.ones(3, requires_grad=trains)), guard)


def test_right_backends_are_timed_and_the_fastest_is_best():
    outcome = attempt('slow', 'fast')
    assert outcome == Outcome({'slow': pytest.approx(40), 'fast': pytest.approx(1)})
    backends = planted.operator('slow', 'fast').backends
    assert outcome.best(backends, backends[-1]).name == 'fast'
    assert str(outcome) == 'measured: fast 1 ms, slow 40 ms'


def test_wrong_and_crashing_backends_are_never_used():
    outcome = attempt('wrong', 'nan', 'wrong gradient', 'crashing', 'slow')
    assert outcome.failures == {
        'wrong': 'gave wrong values: relative error 0.067, allowed 0.005',
        'nan': 'gave wrong values: relative error nan, allowed 0.005',
        'wrong gradient': 'gave wrong gradients: relative error 0.33, allowed 0.005',
        'crashing': 'failed: RuntimeError: no kernel image',
    }
    backends = planted.operator('wrong', 'crashing', 'slow').backends
    assert outcome.best(backends, backends[-1]).name == 'slow'
    assert outcome.best(backends[:2], backends[-1]).name == 'reference'
    assert "'crashing' failed: RuntimeError: no kernel image" in str(outcome)


def test_a_wrong_gradient_matters_only_where_one_is_needed():
    assert attempt('wrong gradient', trains=False).failures == {}


def test_a_backend_without_memory_to_be_timed_in_comes_last_and_may_serve():
    outcome = attempt('hungry', 'slow')
    assert outcome.without_memory == ('hungry',)
    backends = planted.operator('hungry', 'slow').backends
    assert outcome.best(backends, backends[-1]).name == 'slow'
    assert attempt('hungry').best(backends[:1], backends[-1]).name == 'hungry'


def test_a_broken_device_ends_the_command_and_says_that_the_next_start_will_work(monkeypatch):
    def broken(where):
        raise RuntimeError('CUDA error: an illegal memory access was encountered')

    monkeypatch.setattr(trials, 'synchronize', broken)
    with pytest.raises(VrtSpikeError, match=r"'crashing' broke cpu in its trial .*start the command again"):
        attempt('crashing')


def test_every_trial_is_announced():
    names = []

    @contextmanager
    def guard(name):
        names.append(name)
        yield

    attempt('slow', 'crashing', guard=guard)
    assert names == ['slow', 'crashing']


def test_a_trial_inside_of_a_checkpointed_block_is_no_part_of_its_graph():
    x, outcomes = torch.ones(3, requires_grad=True), []

    def block(y):
        outcomes.append(attempt('fast', 'slow'))
        return (y * y).sum()

    checkpoint(block, x, use_reentrant=False).backward()
    assert torch.equal(x.grad, torch.full((3,), 2.0))
    assert [outcome.failures for outcome in outcomes] == [{}, {}]


def test_difference_needs_values_that_are_close():
    one = torch.ones(2)
    assert difference([one, 1.001 * one], [one, one], 5e-3) is None
    assert difference([one, 1.1 * one], [one, one], 5e-3) == 'gave wrong gradients: relative error 0.1, allowed 0.005'
    assert difference([0 * one], [0 * one], 5e-3) is None


def every_candidate(operator, tensor):
    return [backend for backend in operator.backends[:-1] if backend.refusal(tensor) is None]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('trains', [False, True])
@pytest.mark.parametrize('mutual', [False, True])
def test_the_backends_of_window_attention_pass_their_trials(dtype, trains, mutual):
    settings = Settings((2, 4, 4), (1, 0, 2), 2, mutual, 0.3)
    qkv = torch.randn(1, 4, 8, 8, 3 * 16, dtype=dtype, requires_grad=trains)
    table = None if mutual else torch.randn(3 * 7 * 7, 2, requires_grad=trains)
    candidates = every_candidate(WINDOW_ATTENTION, qkv)
    outcome = outcome_of(candidates, WINDOW_ATTENTION.backends[-1], trial_of_attention(qkv, table, settings), unguarded)
    assert outcome.failures == {}
    assert list(outcome.milliseconds) == [backend.name for backend in candidates]


def test_a_trial_of_windows_checks_mutual_attention_too():
    settings = Settings((2, 4, 4), (1, 0, 2), 2, False, 0.3)
    x = torch.randn(1, 4, 8, 8, 16, requires_grad=True)
    trial = trial_of_windows(x, torch.randn(3 * 7 * 7, 2), settings)
    found = trial.small(WINDOW_ATTENTION.find('sdpa'), lambda x: x)
    attended, gradient = (1, 4, 4, 8, 16), (1, 4, 4, 8, 48)
    together = [(1, 4, 4, 8, 32), (1, 4, 4, 8, 96), (147, 2), (16, 48), (48,), (48,)]
    assert [tuple(result.shape) for result in found] == [attended, gradient, (147, 2), attended, gradient, *together]
    assert difference(found, trial.small(WINDOW_ATTENTION.backends[-1], torch.Tensor.double), 1e-5) is None
    trial.real(WINDOW_ATTENTION.find('sdpa'))
    trial.real(WINDOW_ATTENTION.backends[-1])
    assert x.grad is None


def wrong_gradient_of_a_bias(qkv, attentions):
    """Attend as the reference does, but give one bias a gradient that is a tenth too large."""
    own, mutual = attentions
    biases = torch.cat([1.1 * own.qkv_bias, mutual.qkv_bias])
    of_own, of_mutual = (qkv + biases - biases.detach()).chunk(2, -1)
    in_map = mutual.added.view(4, 4, -1).roll((0, 2), (0, 1)).repeat(1, 2, 1)
    results = reference(of_mutual + in_map, None, mutual.settings), reference(of_own, own.bias_table, own.settings)
    return torch.cat(results, -1)


def test_a_trial_of_windows_checks_the_kernel_that_attends_twice():
    settings = Settings((2, 4, 4), (1, 0, 2), 2, False, 0.3)
    trial = trial_of_windows(torch.randn(1, 4, 8, 8, 16, requires_grad=True), torch.randn(147, 2), settings)
    wrong = replace(WINDOW_ATTENTION.backends[-1], name='wrong', together=wrong_gradient_of_a_bias)
    outcome = outcome_of([wrong], WINDOW_ATTENTION.backends[-1], trial, unguarded)
    assert outcome.failures == {'wrong': 'gave wrong gradients: relative error 0.1, allowed 0.005'}


def test_calls_of_alike_shapes_share_a_case():
    settings = Settings((2, 4, 4), (0, 0, 0), 2, False, 0.3)

    def case(height, **changes):
        return trial_of_attention(torch.zeros(1, 2, height, 8, 48), None, settings._replace(**changes)).case

    assert case(16) == case(12) != case(20)
    assert case(16) != case(16, shift=(0, 2, 2))
    assert case(16) == (
        'float32, inference, attention of 2x4x4 tokens shifted by 0x0x0, 2 heads of 8 channels, up to 8 windows'
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('trains', [False, True])
def test_the_backends_of_deformable_convolution_pass_their_trials(dtype, trains):
    x, offset, mask = torch.randn(2, 8, 7, 6), torch.randn(2, 36, 7, 6), torch.rand(2, 18, 7, 6)
    weight, bias = torch.randn(4, 4, 3, 3), torch.randn(4)
    inputs = [tensor.to(dtype).requires_grad_(trains) for tensor in (x, offset, mask, weight, bias)]
    trial = trial_of_convolution(*inputs, 1)
    candidates = every_candidate(DEFORM_CONV2D, inputs[0])
    outcome = outcome_of(candidates, DEFORM_CONV2D.backends[-1], trial, unguarded)
    assert outcome.failures == {}
    assert list(outcome.milliseconds) == [backend.name for backend in candidates]
    assert '8 to 4 channels in 2 groups, 2 deformable groups, kernel 3, up to 128 pixels' in trial.case


def test_under_autocast_a_trial_allows_what_its_type_does():
    with torch.autocast('cpu', torch.bfloat16):
        trial = trial_of_attention(torch.zeros(1, 2, 4, 4, 48), None, Settings((2, 4, 4), (0, 0, 0), 2, False, 0.3))
    assert trial.dtype is torch.bfloat16
    assert set(TOLERANCES) >= {trial.dtype}
