"""Trainings of a tiny network whose stages StageCostHook samples."""

import gzip
import json
from importlib.resources import files

import jsonschema
from torch.utils.checkpoint import checkpoint

from vrtspike.hooks import flops_hook
from vrtspike.profiling import part, stage
from vrtspike.profiling.flops import Costs, StageCost

SCHEMA = json.loads(files('vrtspike.records').joinpath('stage_costs.schema.json').read_text(encoding='utf-8'))
HOOK = {'type': 'StageCostHook', 'interval': 2, 'warmup': 1}


def marked(make_runner, **settings):
    """Return a Runner whose network marks two stages, the second checkpointed."""
    runner = make_runner(**settings)
    model = runner.model

    def forward(blur, spikes=None, sharp=None, meta=None, mode='tensor'):
        frames = (blur.float() / 255).flatten(0, 1)
        with stage('flow') as s:
            x = s.leave(model.backbone['flow'](s.enter(frames)))
        with stage('tail') as s:
            x = s.leave(checkpoint(tail, s.enter(x), use_reentrant=False))
        out = model.head(x).view_as(blur)
        if mode == 'loss':
            with stage('loss') as s:
                return {'loss': s.leave((s.enter(out) - sharp / 255).abs().mean())}
        return [{'restored': clip} for clip in out.clamp(0, 1)]

    def tail(x):
        with part('conv') as p:
            return p.leave(model.backbone['tail'](p.enter(x)).exp())

    model.forward = forward
    model.cost_stages = lambda: ('flow', 'tail', 'loss')
    return runner


def read(runner, name='stage_costs.jsonl'):
    with open(f'{runner.work_dir}/{name}', encoding='utf-8') as file:
        records = [json.loads(line) for line in file]
    for record in records:
        jsonschema.validate(record, SCHEMA)
    return records


def counted(monkeypatch, runner):
    """Let the hook count 2 GMAC in each of two stages, and 1 GMAC of recomputation."""
    stages = {name: StageCost(2_000_000_000, 10, 2**20, 16) for name in ('flow', 'tail')}
    monkeypatch.setattr(flops_hook, 'count_clip', lambda *_: Costs(stages, clip_shape=(3, 16, 16)))
    monkeypatch.setattr(flops_hook, 'recomputed_macs', lambda model, **inputs: {'tail': 1_000_000_000})
    runner.model.data_preprocessor.forward = lambda data, training=False: data
    return runner


def read_trace(path):
    """Return the traced iterations and the milliseconds of slices by iteration, name and phase."""
    slices = [each for each in json.loads(gzip.decompress(path.read_bytes()))['traceEvents'] if each['ph'] == 'X']
    sums = {}
    for each in slices:
        key = each['args']['iteration'], each['name'], each.get('cat')
        sums[key] = sums.get(key, 0.0) + each['dur'] / 1e3
    return sorted({each['args']['iteration'] for each in slices}), sums
