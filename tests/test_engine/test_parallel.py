"""Two processes train and validate as one does."""

import json
import math
from pathlib import Path

import pytest
from tool_processes import run_ranks, run_script

HERE = Path(__file__).parent
LITE = HERE.parents[1] / 'configs/vrt_spike_lite.py'
SHARDED = {'runner_type': 'FlexibleRunner', 'strategy': dict(type='FullyShardedStrategy')}


def losses(folder):
    return [float(line) for line in (folder / 'losses.txt').read_text().splitlines()]


def test_two_processes_equal_one_at_the_same_global_batch(small_lite, tmp_path):
    """Over 20 iterations with accumulation, the two stopped by signals to one of them, between two steps.

    The fourteenth batch gives one process a loss that is no number: both leave out the step. The weights are copied to
    both processes, or sharded over them, or sharded, then copied, then sharded again.
    """
    for name, phases, run, arguments in (
        ('one', [{'train_dataloader.batch_size': 2}], run_script, ['none']),
        ('two', [{}], run_ranks, ['pytorch', 9]),
        ('sharded', [SHARDED, {}, SHARDED], run_ranks, ['pytorch', 4, 9]),
    ):
        shared = small_lite | {'train_cfg.max_iters': 20}
        overrides = json.dumps([shared | changes for changes in phases])
        ended = run(HERE / 'parallel_training.py', tmp_path / name, overrides, LITE, *arguments, cwd=tmp_path)
        for process in ended if isinstance(ended, list) else [ended]:
            assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    for dtype, tolerance in (('float64', 1e-9), ('float32', 1e-5)):
        one = losses(tmp_path / 'one' / dtype)
        assert len(one) == 20
        assert len(set(one)) > 10
        assert math.isnan(one[13])
        for name in ('two', 'sharded'):
            folder = tmp_path / name / dtype
            assert losses(folder) == pytest.approx(one, rel=0, abs=tolerance, nan_ok=True)
            assert (folder / 'iter_10.pth').exists()
            (clip,) = json.loads((folder / 'nonfinite_rank1.jsonl').read_text().splitlines()[0])['samples']
            assert clip['ordinal'] == 27
