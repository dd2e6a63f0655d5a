"""Two processes train and validate as one does."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LITE = ROOT / 'configs/vrt_spike_lite.py'
SHARDED = {'runner_type': 'FlexibleRunner', 'strategy': dict(type='FullyShardedStrategy')}


def command_of_two(script, port):
    module = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--master-port', str(port)]
    return [sys.executable, *module, str(script)]


def run(command, cwd, **environment):
    environment = os.environ | {'OMP_NUM_THREADS': '1'} | environment
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process


@pytest.fixture(scope='module')
def port():
    return 29000 + os.getpid() % 900


def losses(folder):
    return [float(line) for line in (folder / 'losses.txt').read_text().splitlines()]


def test_two_processes_equal_one_at_the_same_global_batch(small_lite, tmp_path, port):
    """Over 20 iterations with accumulation, the two stopped by signals to one of them, between two steps.

    The fourteenth batch gives one process a loss that is no number: both leave out the step. The weights are copied to
    both processes, or sharded over them, or sharded, then copied, then sharded again.
    """
    script = str(HERE / 'parallel_training.py')
    two = command_of_two(script, port)
    for name, phases, command, arguments in (
        ('one', [{'train_dataloader.batch_size': 2}], [sys.executable, script], ['none']),
        ('two', [{}], two, ['pytorch', '9']),
        ('sharded', [SHARDED, {}, SHARDED], two, ['pytorch', '4', '9']),
    ):
        shared = small_lite | {'train_cfg.max_iters': 20}
        overrides = json.dumps([shared | changes for changes in phases])
        run([*command, str(tmp_path / name), overrides, str(LITE), *arguments], tmp_path)
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
