"""30 ms planted in the MLP of stage 5 of a real network: all that shows times shows them there and nowhere else."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from vrtspike.analysis import build_report, read_logs
from vrtspike.config import load_config
from vrtspike.profiling import timer as timer_module
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records.stage_costs import PHASES, RunLine
from vrtspike.records.trace import trace_of
from vrtspike.records.writer import line_of, sample_line
from vrtspike.registry import MODELS

TINY = Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py'
PLANTED_MS = 30.0


class Time:
    """The host's time, which passes in planted work alone."""

    def __init__(self):
        self.ns = 0

    def perf_counter_ns(self):
        return self.ns


class Planted(torch.autograd.Function):
    """The identity, which takes 30 ms forward and backward."""

    @staticmethod
    def forward(ctx, x, time):
        ctx.time = time
        return Planted.work(x, time)

    @staticmethod
    def backward(ctx, grad):
        return Planted.work(grad, ctx.time), None

    @staticmethod
    def work(x, time):
        with record_function('planted'):
            time.ns += int(PLANTED_MS * 1e6)
            return x.clone()


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    """The sample of an iteration, its report, and what torch.profiler saw of it."""
    torch.manual_seed(0)
    model = MODELS.build(load_config(TINY, overrides={'model.start': 'blur'}).model).train()
    modules = model.named_modules()
    mlp = next(each for name, each in modules if 'stage5' in name and name.endswith('.mlp'))
    time, plain = Time(), mlp.forward
    mlp.forward = lambda x: Planted.apply(plain(x), time)
    frames = torch.rand(1, 5, 3, 32, 32)
    inputs = {'blur': frames, 'sharp': frames, 'spikes': torch.rand(1, 5, model.spike_encoder.bins, 16, 16)}
    with (
        pytest.MonkeyPatch.context() as patch,
        StageSampler(model, trace=1) as sampler,
        profile(activities=[ProfilerActivity.CPU]) as profiler,
    ):
        patch.setattr(timer_module, 'time', time)
        sampler.start()
        sampler.batch_arrived()
        loss = model(**inputs, mode='loss')['loss']
        loss.backward()
        sampler.backward_over()
        sampler.optimizer_over()
        sampler.stop(loss, iteration=1, clips=1, frames=5)
        (sample,) = sampler.finished()
    run = RunLine(version=1, rank=0, world_size=1, stages=[*model.cost_stages()], device={'name': 'CPU'})
    log = tmp_path_factory.mktemp('run') / 'stage_costs.jsonl'
    log.write_text(line_of(run) + line_of(sample_line(sample)))
    return SimpleNamespace(sample=sample, run=run, report=build_report(read_logs([log])), events=profiler.events())


def test_the_records_show_it_there_and_nowhere_else(measured):
    line = json.loads(line_of(sample_line(measured.sample)))
    assert line['iteration_ms'] == 2 * PLANTED_MS
    assert len(line['stages']) > 15
    for name, phases in (line['stages'] | line['parts']).items():
        expected = PLANTED_MS if name in ('stage5', 'stage5/mlp') else 0.0
        assert (phases.get('forward_ms', 0.0), phases.get('backward_ms', 0.0)) == (expected, expected), name
        assert phases.get('recompute_ms', 0.0) == 0.0


def test_the_report_shows_it_there_and_nowhere_else(measured):
    found = {
        name: (cost.forward_ms and cost.forward_ms.mean, cost.recompute_ms, cost.backward_ms and cost.backward_ms.mean)
        for name, cost in (measured.report.stages | measured.report.parts).items()
        if cost.total_ms
    }
    assert found == dict.fromkeys(('stage5', 'stage5/mlp'), (PLANTED_MS, None, PLANTED_MS))


def test_the_trace_shows_it_there_and_nowhere_else(measured):
    sums = {}
    for event in trace_of([measured.sample], measured.run).traceEvents:
        if event.ph == 'X' and event.dur:
            sums[event.name, event.cat] = sums.get((event.name, event.cat), 0.0) + event.dur / 1e3
    assert sums.pop(('iteration 1', None)) == 2 * PLANTED_MS
    assert sums == {(name, phase): PLANTED_MS for name in ('stage5', 'stage5/mlp') for phase in ('forward', 'backward')}


def test_the_profiler_shows_it_there_and_nowhere_else(measured):
    planted = [event.time_range for event in measured.events if event.name == 'planted']
    ranges = [event for event in measured.events if event.name.endswith(tuple(f' {phase}' for phase in PHASES))]
    assert len(planted) == 2
    for time, phase in zip(planted, ('forward', 'backward'), strict=True):
        around = [each.name for each in ranges if each.time_range.start < time.end and time.start < each.time_range.end]
        assert around == [f'stage5 {phase}', f'stage5/mlp {phase}']
