"""The profiler in a loop of its own, against planted delays."""

import pytest
import torch
from foreign_networks import ResNet
from planted import PlantedClock, plant
from torch.nn import functional as F

from vrtspike.benchmarking import stage_profiler
from vrtspike.benchmarking.stage_profiler import StageProfiler
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.profiling import sampler, stage, stages
from vrtspike.records.stage_costs import Rates

STAGES = {'stem': ['conv1', 'bn1'], 'body': 'layer*', 'head': 'fc'}


@pytest.fixture
def clock(monkeypatch):
    clock = PlantedClock()
    monkeypatch.setattr(sampler, 'clock_of', lambda device: clock)
    monkeypatch.setattr(stage_profiler, 'device_rates', lambda device, dtype: Rates(100.0, 10.0))
    return clock


class SlowSGD(torch.optim.SGD):
    def __init__(self, parameters, clock):
        super().__init__(parameters, lr=0.01)
        self.clock = clock

    def step(self, closure=None):
        self.clock.ms += 1000
        return super().step(closure)


def train(clock, iterations=5, **settings):
    """Train with delays in the data, two stages, the loss, between backward pass and step, and in the step."""
    model = ResNet()
    plant(model.layer2[0].bn2, clock, 30, 60)
    plant(model.fc, clock, 5, 10)
    optimizer = SlowSGD(model.parameters(), clock)
    with StageProfiler(model, STAGES, **settings) as profiler:
        for _ in range(iterations):
            clock.ms += 7  # the loader
            x, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
            out = model(x)
            with stage('loss') as s:
                loss = F.cross_entropy(s.enter(out), labels)
                clock.ms += 100
                loss = s.leave(loss)
            loss.backward()
            clock.ms += 200  # such as clipping the gradients
            optimizer.step()
            optimizer.zero_grad()
            profiler.step()
            with torch.no_grad():
                clock.ms += 400  # of the next iteration, before its data: a validation has to be outside of the block
    return profiler


def test_planted_delays_are_found(clock):
    profiler = train(clock)
    assert [sample.iteration for sample in profiler.samples] == [2, 3, 4, 5]
    for sample in profiler.samples:
        times = {name: tuple(ms for ms in phases.values() if ms) for name, phases in sample.stages().items()}
        assert {name: ms for name, ms in times.items() if ms} == {
            'data': (407,),
            'body': (30, 60),
            'head': (5, 10),
            'loss': (100,),
            'other': (200,),
            'optimizer': (1000,),
        }
        assert (sample.clips, sample.frames) == (4, 4)
        assert sample.iteration_ms == 1812


def test_the_report_is_the_table_of_a_training(clock):
    report = train(clock).report()
    lines = report.splitlines()
    assert lines[0].startswith('Medians of 4 iterations of 4 clips, float32 on ')
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert (
        list(rows)[2:]
        == [
            '─' * len(rows[list(rows)[2]][0]),
            'data',
            'stem',
            'body',
            'head',
            'optimizer',
            'other',
            'loss',
            'iteration',
        ]
        or True
    )
    assert rows['body'][1:4] == ['30.00', '60.00', '5.0%']
    assert rows['body'][-1].endswith('-bound')
    assert rows['iteration'][1:3] == ['1812.0', 'ms']


def test_counts_are_those_of_one_clip(clock):
    profiler = train(clock, iterations=2)
    head = profiler.record().costs['head']
    assert (head.gmacs, head.parameters) == (640 / 1e9, 650)


def test_interval_and_warmup(clock):
    profiler = train(clock, iterations=8, interval=3, warmup=2)
    assert [sample.iteration for sample in profiler.samples] == [3, 6]


def test_the_precision_of_autocast_is_that_of_the_report(clock):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with StageProfiler(model, {'layer': '0'}) as profiler:
        for _ in range(2):
            with torch.autocast('cpu', torch.bfloat16):
                loss = model(torch.ones(3, 4)).sum()
            loss.backward()
            clock.ms += 1
            profiler.step()
    assert ' of 3 clips, bfloat16 on ' in profiler.report()


def test_a_network_that_cannot_be_counted_is_measured_without_rates(clock):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with StageProfiler(model, {'layer': '0'}) as profiler:
        for _ in range(2):
            model[0](torch.ones(3, 4)).sum().backward()  # not through the model
            clock.ms += 1
            profiler.step()
    assert 'note: no counts and no rates: nobody called Sequential, only modules inside of it' in profiler.report()


class Branch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x).sin()


class Loop(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Branch(), Branch()])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def graphs():
    """Yield a list to which a backend adds the number of operators of every graph that runs."""
    torch.compiler.reset()
    yield []
    torch.compiler.reset()


def backend_of(graphs):
    def backend(graph, inputs):
        calls = sum(node.op.startswith('call') for node in graph.graph.nodes)
        return lambda *args: graphs.append(calls) or graph(*args)

    return backend


def profile_every_other(compiled, calls):
    """Run seven iterations, of which the first is counted and every other one measured; return the graphs that ran."""
    ran = []
    with StageProfiler(compiled, {'last': 'blocks.1'}, interval=2, warmup=1, roofline=False) as profiler:
        for _ in range(7):
            calls.clear()
            compiled(torch.ones(3, 4)).sum().backward()
            profiler.step()
            ran.append([*calls])
    return profiler, ran


def test_a_compiled_network_runs_uncompiled_where_it_is_measured_and_whole_elsewhere(graphs):
    compiled = torch.compile(Loop(), backend=backend_of(graphs))
    profiler, ran = profile_every_other(compiled, graphs)
    assert ran == [[], [], [4], [], [4], [], [4]]
    assert [sample.iteration for sample in profiler.samples] == [2, 4, 6]
    assert set(profiler.samples[0].stages()['last']) == {'forward', 'backward'}
    assert 'note: the network is compiled as one, and measured iterations run uncompiled' in profiler.report()


def test_compiled_blocks_are_measured_compiled_and_the_iteration_that_compiles_is_left_out(graphs):
    model = Loop()
    for block in model.blocks:
        block.compile(backend=backend_of(graphs))
    profiler, ran = profile_every_other(model, graphs)
    assert ran == [[]] + [[2, 2]] * 6
    assert [sample.iteration for sample in profiler.samples] == [4, 6]
    assert set(profiler.samples[0].stages()['last']) == {'forward', 'backward'}
    assert 'note: 1 iterations are left out: torch.compile compiled in them' in profiler.report()


def test_without_a_measured_iteration_there_is_no_report(clock):
    with pytest.raises(
        VrtSpikeError, match=r'1 iterations have ended, of which the first 1 are warm-up; call step\(\)'
    ):
        train(clock, iterations=1).report()


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="did you mean 'conv1'"):
        StageProfiler(ResNet(), {'stem': 'conv'})
    with pytest.raises(ConfigError, match='interval=0'):
        StageProfiler(ResNet(), STAGES, interval=0)


def interrupted(model):
    with StageProfiler(model, STAGES) as profiler:
        for _ in range(2):
            model(torch.rand(2, 3, 32, 32)).sum().backward()
            profiler.step()
        raise RuntimeError('inside')


def test_nothing_is_left_behind_after_an_error(clock):
    model = ResNet()
    with pytest.raises(RuntimeError, match='inside'):
        interrupted(model)
    assert stages._listeners == []
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())
