"""Runs that have finished, without training them."""

import json

import pytest

from vrtspike.experiments.runs import Run
from vrtspike.experiments.variants import REFERENCE, Variant

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
            lines = [{'kind': 'run', 'costs': {'fuse1': {'gmacs': 0.5}, 'stage1': {'gmacs': 1.0}}}]
            for extra in (0, 1, 5):
                stages = {'fuse1': {'forward_ms': fuse_ms, 'backward_ms': extra}, 'stage1': {'forward_ms': 3.0}}
                lines.append({'kind': 'sample', 'stages': stages})
            (run.work_dir / 'stage_costs.jsonl').write_text('\n'.join(map(json.dumps, lines)))
        return run

    return finish


@pytest.fixture
def runs(finished):
    """A reference of three seeds that gained 3 dB, a better head and a worse one, and one that has not run."""
    made = [finished(REFERENCE, seed, 28 + 0.1 * seed, fuse_ms=2.0) for seed in range(3)]
    made += [finished('better', seed, 28.5 + 0.11 * seed, ms=80.0) for seed in range(3)]
    made += [finished('worse', seed, 27.5 + 0.11 * seed) for seed in range(3)]
    return [*made, Run(Variant('absent'), 0, made[0].folder)]
