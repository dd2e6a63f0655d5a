import json
import shutil
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import Hook

from vrtspike.benchmarking.fake_gpu.device import fake_gpu_environment
from vrtspike.errors import TrainingError
from vrtspike.hooks import nonfinite_hook
from vrtspike.hooks.nonfinite_hook import advice
from vrtspike.optim import unsubscribe


class Spoil(Hook):
    """Makes the loss of some iterations, or the gradients before some steps, what they should not be."""

    def __init__(self, losses=(), gradients=(), value=float('nan')):
        self.losses, self.gradients, self.value = losses, gradients, value
        self.weights = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.iteration = runner.iter
        if not hasattr(self, 'loss_of'):
            self.loss_of = runner.model._run_forward
            runner.model._run_forward = self._run_forward
            runner.model.head.weight.register_hook(self._gradient)

    def _run_forward(self, data, mode):
        out = self.loss_of(data, mode=mode)
        return {'loss': out['loss'] * self.value} if mode == 'loss' and self.iteration in self.losses else out

    def _gradient(self, gradient):
        return gradient * self.value if self.iteration in self.gradients else gradient

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.weights[runner.iter] = runner.model.head.weight.detach().clone()


def run(make_runner, iters, spoil, accumulate=1, **limits):
    wrapper = {'optimizer': {'type': 'AdamW', 'lr': 1e-2}, 'accumulative_counts': accumulate}
    runner = make_runner(iters, hooks=[{'type': 'NonFiniteHook', **limits}, spoil], optim_wrapper=wrapper)
    runner.train()
    return runner


def changed(spoil):
    """Return the iterations, from the second on, after which the weights were others than before."""
    return [i for i in list(spoil.weights)[1:] if not torch.equal(spoil.weights[i], spoil.weights[i - 1])]


@pytest.mark.parametrize('what', ['losses', 'gradients'])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_the_step_is_skipped_and_counted_and_the_samples_are_named(make_runner, tmp_path, what, value):
    spoil = Spoil(**{what: (2,)}, value=value)
    runner = run(make_runner, 4, spoil)
    assert changed(spoil) == [1, 3]
    assert runner.message_hub.get_info('skipped_steps') == 1
    assert all(weight.isfinite().all() for weight in spoil.weights.values())
    (record,) = map(json.loads, (tmp_path / 'run' / 'nonfinite.jsonl').read_text().splitlines())
    assert record['iteration'] == 3
    assert record['what'] == what.removesuffix('s').replace('losse', 'loss')
    assert [sample['name'].partition('/')[0] for sample in record['samples']] == ['street', 'street']


@pytest.fixture
def like_a_gpu(monkeypatch):
    """Let the fused optimizer of the CPU skip steps by itself, and the host read an iteration late, as on a GPU."""
    fused = lambda wrapper: all(group.get('fused') for group in wrapper.optimizer.param_groups)  # noqa: E731
    monkeypatch.setattr(nonfinite_hook, 'skips_on_device', fused)
    monkeypatch.setattr(nonfinite_hook, 'iterations_late', lambda loss: 1)
    return {'optimizer': {'type': 'AdamW', 'lr': 1e-2, 'fused': True}}


def test_a_fused_optimizer_skips_the_step_by_itself(make_runner, tmp_path, like_a_gpu):
    spoil = Spoil(gradients=(2,))
    runner = make_runner(5, hooks=[{'type': 'NonFiniteHook'}, spoil], optim_wrapper=like_a_gpu)
    runner.train()
    assert changed(spoil) == [1, 3, 4]
    assert runner.message_hub.get_info('skipped_steps') == 1
    (record,) = map(json.loads, (tmp_path / 'run' / 'nonfinite.jsonl').read_text().splitlines())
    assert (record['iteration'], record['what']) == (3, 'gradient')
    assert not hasattr(runner.optim_wrapper.optimizer, 'found_inf')


def test_the_last_iteration_is_counted_too_where_the_host_reads_late(make_runner, like_a_gpu):
    spoil = Spoil(gradients=(4,))
    runner = make_runner(5, hooks=[{'type': 'NonFiniteHook'}, spoil], optim_wrapper=like_a_gpu)
    runner.train()
    assert runner.message_hub.get_info('skipped_steps') == 1


def test_the_run_ends_one_iteration_late_and_the_weights_are_untouched(make_runner, like_a_gpu):
    spoil = Spoil(gradients=(1, 2))
    with pytest.raises(TrainingError, match='2 steps in a row'):
        make_runner(8, hooks=[{'type': 'NonFiniteHook', 'in_a_row': 2}, spoil], optim_wrapper=like_a_gpu).train()
    assert sorted(spoil.weights) == [0, 1, 2]  # the hook ends iteration 3 before the other reads its weights
    assert changed(spoil) == []


def test_no_checkpoint_follows_a_limit(make_runner, tmp_path, like_a_gpu):
    checkpoint = {'type': 'CheckpointHook', 'interval': 1, 'by_epoch': False}
    hooks = [{'type': 'NonFiniteHook', 'in_a_row': 1}, Spoil(gradients=(2,)), checkpoint]
    with pytest.raises(TrainingError, match='1 steps in a row'):
        make_runner(8, hooks=hooks, optim_wrapper=like_a_gpu).train()
    assert sorted(path.name for path in (tmp_path / 'run').glob('iter_*.pth')) == ['iter_1.pth', 'iter_2.pth']


def test_all_that_was_accumulated_for_the_step_goes_with_it(make_runner):
    spoil = Spoil(losses=(2,))
    run(make_runner, 6, spoil, accumulate=2)
    assert changed(spoil) == [1, 5]


def test_without_faults_training_is_the_same(make_runner):
    guarded, plain = Spoil(), Spoil()
    run(make_runner, 5, guarded, accumulate=2)
    wrapper = {'optimizer': {'type': 'AdamW', 'lr': 1e-2}, 'accumulative_counts': 2}
    make_runner(5, hooks=[plain], optim_wrapper=wrapper).train()
    assert all(torch.equal(guarded.weights[i], plain.weights[i]) for i in range(5))


@pytest.mark.parametrize(
    ('spoilt', 'limits', 'message'),
    [((1, 2, 3), {'in_a_row': 3}, '3 steps in a row'), ((1, 3, 5), {'in_all': 3}, '3 steps in all')],
)
def test_too_many_end_the_run_with_advice(make_runner, spoilt, limits, message):
    with pytest.raises(TrainingError, match=rf'{message} had a loss that is not finite.*(?s:.)*warm-up'):
        run(make_runner, 8, Spoil(losses=spoilt), **limits)


def test_advice_depends_on_the_precision():
    class Wrapper:
        cast_dtype = torch.float16

    assert 'init_scale' in advice(Wrapper)
    Wrapper.cast_dtype = torch.bfloat16
    assert 'without --amp' in advice(Wrapper)


STAGE_COSTS = {'type': 'StageCostHook', 'warmup': 1, 'interval': 1, 'roofline': False}


class EndsEarly(Hook):
    """Ends the subscription of one hook to the optimizer wrapper before an iteration."""

    def __init__(self, kind, iteration):
        self.kind, self.iteration = kind, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            (hook,) = [hook for hook in runner.hooks if type(hook).__name__ == self.kind]
            unsubscribe(runner.optim_wrapper, hook)


@pytest.mark.parametrize('order', [('NonFiniteHook', 'StageCostHook'), ('StageCostHook', 'NonFiniteHook')])
@pytest.mark.parametrize('ends', ['NonFiniteHook', 'StageCostHook'])
def test_either_hook_may_stop_listening_first(make_runner, tmp_path, order, ends):
    settings = {'NonFiniteHook': {'type': 'NonFiniteHook'}, 'StageCostHook': STAGE_COSTS}
    # The first iteration whose loss is spoilt comes after one of the hooks has stopped listening.
    spoil = Spoil(losses=() if ends == 'NonFiniteHook' else (3,))
    hooks = [*(settings[kind] for kind in order), spoil, EndsEarly(ends, 2)]
    wrapper = {'optimizer': {'type': 'AdamW', 'lr': 1e-2}}
    runner = make_runner(6, hooks=hooks, optim_wrapper=wrapper)
    runner.train()
    samples = [json.loads(line) for line in (tmp_path / 'run/stage_costs.jsonl').read_text().splitlines()[1:]]
    with_optimizer = [sample['iteration'] for sample in samples if 'optimizer' in sample['stages']]
    if ends == 'NonFiniteHook':
        assert changed(spoil) == [1, 2, 3, 4, 5]
        assert with_optimizer == [2, 3, 4, 5, 6]
    else:
        assert changed(spoil) == [1, 2, 4, 5]
        assert runner.message_hub.get_info('skipped_steps') == 1
        assert with_optimizer == [2]
    assert {'update_params', 'backward', 'step_events'}.isdisjoint(vars(runner.optim_wrapper))


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_training_with_both_hooks_is_that_without(make_runner, order):
    hooks = [({'type': 'NonFiniteHook'}, STAGE_COSTS)[i] for i in order]
    wrapper = {'optimizer': {'type': 'AdamW', 'lr': 1e-2}, 'accumulative_counts': 2, 'clip_grad': {'max_norm': 0.1}}
    weights = []
    for each in ([], hooks):
        spoil = Spoil()
        make_runner(5, hooks=[*each, spoil], optim_wrapper=dict(wrapper)).train()
        weights.append(spoil.weights)
    assert all(torch.equal(weights[0][i], weights[1][i]) for i in range(5))


ON_A_FAKE_GPU = """
from types import SimpleNamespace
import torch
from mmengine.logging import MessageHub
from vrtspike.benchmarking.fake_gpu.counter import StepCounter
from vrtspike.benchmarking.fake_gpu.device import fake_gpu
from vrtspike.hooks import NonFiniteHook
from vrtspike.optim import DeviceAmpOptimWrapper

def train(fused):
    hub = MessageHub.get_instance('fake')
    model = torch.nn.Linear(4, 4, device='cuda')
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    wrapper = DeviceAmpOptimWrapper(optimizer, dtype='bfloat16', clip_grad={'max_norm': 1.0})
    loader = SimpleNamespace(sampler=None)
    runner = SimpleNamespace(message_hub=hub, optim_wrapper=wrapper, iter=0, train_loop=None, train_dataloader=loader)
    hook, left = NonFiniteHook(), []
    hook._read = lambda runner, leave: left.append(leave)  # fake tensors have no values
    hook.before_train(runner)
    with StepCounter() as counter:
        for _ in range(3):
            counter.reset()
            with wrapper.optim_context(model):
                loss = model(torch.empty(2, 4, device='cuda')).float().mean()
            wrapper.update_params(loss)
            hook.after_train_iter(runner, 0)
        print(sum(counter.waits.values()), *left)

with fake_gpu():
    train(fused=True)
    train(fused=False)
"""


@pytest.mark.skipif(shutil.which('g++') is None or bool(torch.version.cuda), reason='needs g++ and a CPU build')
def test_no_iteration_waits_for_the_gpu_with_a_fused_optimizer_and_each_with_another():
    command = [sys.executable, '-c', ON_A_FAKE_GPU]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=fake_gpu_environment())
    assert done.stdout == '0 1 1 1\n1 1 1 1\n', done.stderr
