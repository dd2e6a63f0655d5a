"""Runs that have finished, without training them."""

import json

import pytest

from vrtspike.experiments.record import record_of
from vrtspike.experiments.runs import Run
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.records.stage_costs import FILE_NAME, CountedCost, RunLine, SampleLine, StageTimes
from vrtspike.records.writer import line_of

COMMON = dict(iterations=10, versions={'torch': '2'}, device={'type': 'cpu', 'name': 'x'}, commit='0' * 40)


@pytest.fixture
def finished(tmp_path):
    """Return a function that writes a run's report, and its stages' costs where given; returns the run."""

    def finish(name, seed, psnr, blur=25.0, ms=100.0, fuse_ms=None):
        run = Run(Variant(name), seed, tmp_path)
        run.work_dir.mkdir(parents=True)
        mean = dict(blur_psnr_db=blur, psnr_db=psnr, gain_db=psnr - blur, ssim=0.8)
        report = dict(COMMON, validation={'mean': mean}, iteration_ms_median=ms, peak_memory_mib=50.0, parameters=7)
        run.report.write_text(json.dumps(report))
        if fuse_ms is not None:
            costs = {'fuse1': CountedCost(gmacs=0.5), 'stage1': CountedCost(gmacs=1.0)}
            lines = [RunLine(version=1, rank=0, world_size=1, stages=list(costs), costs=costs)]
            for extra in (0, 1, 5):
                fuse = StageTimes(forward_ms=fuse_ms, backward_ms=extra)
                stages = {'fuse1': fuse, 'stage1': StageTimes(forward_ms=3.0)}
                lines.append(SampleLine(iteration=1, rank=0, iteration_ms=ms, clips=1, frames=5, stages=stages))
            (run.work_dir / FILE_NAME).write_text(''.join(map(line_of, lines)))
        return run

    return finish


@pytest.fixture
def runs(finished):
    """A reference of three seeds that gained 3 dB, a better head and a worse one, and one that has not run."""
    made = [finished(REFERENCE, seed, 28 + 0.1 * seed, fuse_ms=2.0) for seed in range(3)]
    made += [finished('better', seed, 28.5 + 0.11 * seed, ms=80.0) for seed in range(3)]
    made += [finished('worse', seed, 27.5 + 0.11 * seed) for seed in range(3)]
    return [*made, Run(Variant('absent'), 0, made[0].folder)]


@pytest.fixture
def record_of_runs():
    """Return a function that makes a record of runs, with failures by the name of the variant."""

    def make(runs, failures=None, shared_overrides=None):
        variants = {run.variant.name: run.variant for run in runs}
        return record_of(list(variants.values()), runs, failures or {}, 'base.py', shared_overrides or {})

    return make


@pytest.fixture
def record(runs, record_of_runs):
    return record_of_runs(runs, {'absent': 'out of luck'}, {'a.b': 1})
