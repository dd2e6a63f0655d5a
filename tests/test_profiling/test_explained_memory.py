"""The memory of iterations: of a network with known sizes, and of the real tiny network."""

import copy
import json
from importlib.resources import files

import jsonschema
import msgspec
import pytest
import torch
from torch import nn

from vrtspike.benchmarking.training_step import training_step
from vrtspike.config import load_config
from vrtspike.profiling import part, stage, stages
from vrtspike.profiling.explained_memory import ExplainedMemory
from vrtspike.runtime.device import MIB

SCHEMA = json.loads(files('vrtspike.records').joinpath('memory.schema.json').read_text(encoding='utf-8'))
WIDTH = 512
LAYER = WIDTH * WIDTH * 4 / MIB  # 1 MiB
ROWS = 4 * WIDTH
MAP = 4 * LAYER
FROM_THE_BLURRED_FRAME = {
    'model.start': 'blur',
    'model.fusion': {'_delete_': True, 'type': 'TemporalCrossAttention', 'time_slope': 6.0},
}
"""A network whose peak no two stages share."""


class Net(nn.Module):
    """Two stages whose weights take one MiB each, and whose activations four."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))

    def forward(self, x):
        with stage('first') as s:
            x = s.leave(self.first(s.enter(x)).exp())  # saves x and the result
        with stage('second') as s, part('mlp') as p:
            return s.leave(p.leave(self.second(p.enter(s.enter(x))).exp()))


def explained(model, optimizer, batch, loss_of):
    """Return the record of an iteration."""
    memory = ExplainedMemory(model, [optimizer], batch)
    with memory.watching():
        loss_of().backward()
        memory.backward_over()
        optimizer.step()
        optimizer.zero_grad()
        memory.optimizer_over()
    line = memory.line(iteration=7, rank=0)
    jsonschema.validate(json.loads(msgspec.json.encode(line)), SCHEMA)
    return line


def mib_of(line, *kinds):
    return sum(each.mib for each in line.holdings if each.kind in kinds)


def of_stages(line, kind):
    return {each.stage: each.mib for each in line.holdings if each.kind == kind}


@pytest.fixture
def small():
    """A network that has stepped once, so that the optimizer has its state, with a batch."""
    torch.manual_seed(0)
    model, x = Net(), torch.rand(ROWS, WIDTH) / WIDTH
    optimizer = torch.optim.Adam(model.parameters())
    model(x).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer, x


def test_an_iteration_counted_by_hand(small):
    model, optimizer, x = small
    line = explained(model, optimizer, {'x': x}, lambda: model(x).mean())
    assert (line.iteration, line.rank, line.device) == (7, 0, 'cpu')
    assert mib_of(line, 'parameters') == 2 * LAYER
    assert mib_of(line, 'optimizer') == pytest.approx(4 * LAYER, abs=1e-4)  # two moments of each, and two numbers
    assert mib_of(line, 'batch') == MAP
    assert sum(each.mib for each in line.holdings) == pytest.approx(line.peak_mib, abs=1e-6)
    # Backward through the second exponential: both results, the gradient of the mean, and that of the input.
    assert line.peak_in == 'second backward'
    assert of_stages(line, 'saved') == {'first': MAP, 'second': MAP}
    assert of_stages(line, 'temporary') == pytest.approx({'other': MAP, 'second': MAP}, abs=1e-4)
    assert mib_of(line, 'unseen') == pytest.approx(0, abs=1e-3)


def test_over_time_gradients_replace_activations(small):
    model, optimizer, x = small
    line = explained(model, optimizer, {'x': x}, lambda: model(x).mean())
    timeline = line.timeline
    assert max(timeline.mib['gradients']) == 2 * LAYER
    assert max(timeline.mib['saved/first']) == max(timeline.mib['saved/second']) == MAP
    assert timeline.mib['gradients'][-1] == timeline.mib['saved/first'][-1] == 0  # zeroed and freed
    assert set(timeline.mib['parameters']) == {2 * LAYER}
    assert max(map(sum, zip(*timeline.mib.values(), strict=True))) == pytest.approx(line.peak_mib, rel=0.02)
    assert timeline.running[0] in ('other', 'first')
    assert {'first', 'second', 'second backward', 'first backward', 'optimizer'} <= set(timeline.running)


def test_the_first_steps_state_belongs_to_the_optimizer_afterwards():
    model, x = Net(), torch.rand(ROWS, WIDTH) / WIDTH
    line = explained(model, torch.optim.Adam(model.parameters()), {'x': x}, lambda: model(x).mean())
    assert line.timeline.mib['optimizer'][-1] == pytest.approx(4 * LAYER, abs=1e-3)
    assert 'optimizer' in line.timeline.running


def test_an_iteration_that_fails_leaves_nothing_behind(small):
    model, optimizer, x = small
    memory = ExplainedMemory(model, [optimizer], x)

    def step():
        with memory.watching():
            raise ZeroDivisionError(model(x).sum())

    with pytest.raises(ZeroDivisionError):
        step()
    assert stages._listeners == []
    assert all(not parameter._post_accumulate_grad_hooks for parameter in model.parameters())
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_the_holders_of_the_real_network_sum_to_the_measured_peak():
    """The peak is that of the allocator, whose trace knows no tensors; the holdings come from tensors alone."""
    config = load_config('configs/vrt_spike_tiny.py', overrides=FROM_THE_BLURRED_FRAME)
    step = training_step(config, (1, 3, 32, 32), torch.device('cpu'))
    optimizer = torch.optim.AdamW(step.model.parameters())

    def loss():
        with step.precision():
            return step.model(**step.inputs, mode='loss')['loss']

    weights = copy.deepcopy(step.model.state_dict())
    step()
    expected = {name: parameter.grad.clone() for name, parameter in step.model.named_parameters()}
    optimizer.step()
    optimizer.zero_grad()
    step.model.load_state_dict(weights)
    found = {}
    for name, parameter in step.model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: found.update({name: p.grad.clone()}))
    line = explained(step.model, optimizer, step.inputs, loss)
    tensors = sum(each.mib for each in line.holdings if each.kind != 'unseen')
    assert tensors == pytest.approx(line.peak_mib, rel=0.05)
    totals = [sum(each) for each in zip(*line.timeline.mib.values(), strict=True)]
    assert line.peak_in == line.timeline.running[totals.index(max(totals))]
    parameters = sum(p.nbytes for p in [*step.model.parameters(), *step.model.buffers()]) / MIB
    assert mib_of(line, 'parameters') == pytest.approx(parameters, rel=0.01)
    saved = of_stages(line, 'saved')
    before_peak = set(line.timeline.running[: totals.index(max(totals)) + 1])  # in float32 after fuse1, else in stage1
    assert {'spike_encoder', 'tsa', 'stage1'} <= before_peak
    assert before_peak & {'spike_encoder', 'tsa', 'stage1', 'fuse1'} <= saved.keys()
    assert max(saved, key=saved.get) == 'stage1'
    torch.testing.assert_close(found, expected)  # watching changes no gradient
