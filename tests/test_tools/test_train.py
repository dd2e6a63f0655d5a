"""Trains as users do: the tool as a process of its own, on demo clips of 32 x 32 pixels."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tiny_networks import TRAINING
from tool_processes import run_tool

from vrtspike.datasets import write_demo
from vrtspike.models.weights import read_weights
from vrtspike.testing.training import WITHOUT_REPORTS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vrt_spike_tiny.py'
DEMO = dict(train_clips=4, val_clips=2, size=32, steps_per_frame=32)
SMALL = TRAINING | {
    'train_cfg.max_iters': 4,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
}


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """The clips that a training on DemoClips with these parameters finds already written."""
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **DEMO, progress=False)


def options(data, **changes):
    """Return the command line's ``--cfg-options`` for a tiny training; ``None`` removes one."""
    values = {f'data.{key}': value for key, value in data.items()} | SMALL | changes
    return ['--cfg-options', *(f'{key}={value}' for key, value in values.items() if value is not None)]


def demo_options(root, **changes):
    return options(dict(root=root, **DEMO), **changes)


def quiet_options(root, **changes):
    """Return the options without the hooks that only describe a run."""
    return demo_options(root, **dict.fromkeys(WITHOUT_REPORTS, 'None'), **changes)


def real_options(root, **changes):
    return options(dict(type='ProcessedClips', root=root), **changes)


def losses(work_dir):
    """Return {iteration: loss} that a run's newest log holds."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    records = map(json.loads, newest.read_text().splitlines())
    return {record['iter']: record['loss'] for record in records if 'loss' in record}


def snapshot(folder):
    """Return every file below a folder with its content."""
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def trained(demo, tmp_path_factory):
    """One training of four iterations: its process and its folder."""
    folder = tmp_path_factory.mktemp('trained')
    process = run_tool('train', CONFIG, '--work-dir', folder / 'run', *demo_options(demo), cwd=folder)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process, folder / 'run'


def test_a_training_leaves_checkpoints_a_report_and_a_picture_of_every_clip(trained):
    process, work_dir = trained
    report = json.loads((work_dir / 'report.json').read_text())
    assert report['iterations'] == 4
    assert len(report['validation']['clips']) == 2
    # Starting as the identity, it cannot have changed the frames by much.
    assert abs(report['validation']['mean']['gain_db']) < 1
    assert {path.name for path in work_dir.glob('*.pth')} > {'iter_2.pth', 'iter_4.pth'}
    assert len(list((work_dir / 'pictures').glob('*.png'))) == 2
    assert 'Held-out clips after 4 iterations' in process.stdout
    assert 'warm-up (LinearLR) in iterations 1 to 2, CosineAnnealingLR in iterations 3 to 4' in process.stdout
    for part in ('spynet', 'stage8', 'spike_encoder', 'fusion'):
        assert part in process.stdout


def test_two_runs_with_one_seed_have_identical_losses(trained, demo, tmp_path):
    process = run_tool('train', CONFIG, '--work-dir', 'again', *quiet_options(demo), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    found = losses(tmp_path / 'again')
    assert list(found) == [1, 2, 3, 4]
    assert found == losses(trained[1])


@pytest.mark.parametrize('named', [True, False])
def test_a_resumed_run_goes_on_as_if_never_interrupted(trained, demo, tmp_path, named):
    interrupted = tmp_path / 'interrupted'
    interrupted.mkdir()
    shutil.copy(trained[1] / 'iter_2.pth', interrupted)
    wish = ['--resume', interrupted / 'iter_2.pth'] if named else ['--work-dir', interrupted, '--resume']
    process = run_tool('train', CONFIG, *wish, *quiet_options(demo), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    uninterrupted = losses(trained[1])
    assert losses(interrupted) == {i: uninterrupted[i] for i in (3, 4)}
    assert (interrupted / 'iter_4.pth').is_file()


def test_weights_alone_start_a_new_run(trained, demo, tmp_path):
    changes = {'train_cfg.max_iters': 2, 'optim_wrapper.optimizer.lr': 0.0}
    arguments = ['--work-dir', 'run', '--load-from', trained[1] / 'iter_4.pth']
    process = run_tool('train', CONFIG, *arguments, *quiet_options(demo, **changes), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    loaded, after = (read_weights(path) for path in (trained[1] / 'iter_4.pth', tmp_path / 'run/iter_2.pth'))
    torch.testing.assert_close(after, loaded, rtol=0, atol=1e-4)  # the rate ends at 1e-7; not initialised again
    assert list(losses(tmp_path / 'run')) == [1, 2]
    names = json.loads((tmp_path / 'run/loaded_weights.json').read_text())
    assert list(names) == ['loaded', 'adapted', 'merged', 'fresh', 'unused']
    assert names['adapted'] == names['fresh'] == names['unused'] == []
    assert re.search(rf'^ *all +{len(names["loaded"])} +0 +0 +0 +0 *$', process.stdout, re.MULTILINE)


def test_weights_of_another_network_are_adapted_as_far_as_they_fit(trained, demo, tmp_path):
    changes = {'train_cfg.max_iters': 2, 'model.backbone.window_size': [5, 6, 6], 'model.spike_encoder.channels': 12}
    arguments = ['--work-dir', 'run', '--load-from', trained[1] / 'iter_4.pth']
    process = run_tool('train', CONFIG, *arguments, *quiet_options(demo, **changes), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    names = json.loads((tmp_path / 'run/loaded_weights.json').read_text())
    assert 'backbone.conv_first.weight' in names['loaded']
    assert 'backbone.stage1.residual_group2.blocks.0.attn.relative_position_bias_table' in names['adapted']
    assert 'spike_encoder.scales.0.0.0.weight' in names['fresh']


def test_weights_that_fit_nothing_are_refused(demo, tmp_path):
    torch.save({'params': {'weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    process = run_tool('train', CONFIG, '--load-from', tmp_path / 'other.pth', *demo_options(demo), cwd=tmp_path)
    assert process.returncode == 1
    assert 'nothing in the checkpoint fits the network: it contains weight (3,)' in process.stderr
    assert 'Traceback' not in process.stderr


@pytest.fixture
def damaged(demo, tmp_path):
    """A copy of the demo that a test may damage, read as a user's own data."""
    return Path(shutil.copytree(demo, tmp_path / 'mine'))


def truncate_spikes(root):
    path = next(iter(sorted(root.glob('train/*/spike/*.dat'))))
    path.write_bytes(path.read_bytes()[:-5])
    return path.name


def remove_frame(root):
    path = next(iter(sorted(root.glob('train/*/sharp/*.png'))))
    path.unlink()
    return f'{path} is missing'


def shorten_all_of_one_kind(root):
    for path in sorted(root.glob('val/000_*/blur/*.png'))[3:]:
        path.unlink()
    return '3 in blur'


def misstate_spike_size(root):
    config = root / 'config.yaml'
    config.write_text(config.read_text().replace('spike_w: 16', 'spike_w: 24'))
    return '16 x 24'


def empty_root(root):
    shutil.rmtree(root)
    return f'the data set {root} does not exist: prepare it as ROOT/'


def the_message(process):
    """Return the one message of a run that failed as a user's mistake does."""
    assert process.returncode == 1, process.stdout[-1000:] + process.stderr[-3000:]
    assert 'Traceback' not in process.stdout + process.stderr
    assert process.stderr.count('error: ') == 1
    return process.stderr.partition('error: ')[2]


@pytest.mark.parametrize(
    'damage', [truncate_spikes, remove_frame, shorten_all_of_one_kind, misstate_spike_size, empty_root]
)
def test_damaged_data_is_one_message_and_nothing_is_touched(damaged, tmp_path, damage):
    expected = damage(damaged)
    before = snapshot(damaged)
    process = run_tool('train', CONFIG, '--work-dir', tmp_path / 'run', *real_options(damaged), cwd=tmp_path)
    assert expected in the_message(process)
    assert snapshot(damaged) == before
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize(
    ('arguments', 'changes', 'expected'),
    [
        ([], {'model.backbone.depth': '[2]'}, "did you mean 'depths'"),
        ([], {'modle.type': 'X'}, "did you mean 'model'"),
        ([], {'model.loss.type': 'CharbonierLoss'}, "did you mean 'CharbonnierLoss'"),
        ([], {'param_scheduler.1.begin': 9}, 'begins at iteration 9, but train_cfg.max_iters is 4'),
        (['--load-from', 'absent.pth'], {}, 'absent.pth does not exist'),
        (['--resume', 'absent.pth'], {}, 'absent.pth does not exist'),
        (['--work-dir', 'empty', '--resume'], {}, 'no checkpoint in empty to resume'),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(demo, tmp_path, arguments, changes, expected):
    process = run_tool('train', CONFIG, *arguments, *demo_options(demo, **changes), cwd=tmp_path)
    assert expected in the_message(process)
    assert snapshot(tmp_path) == {}


def test_a_folder_with_checkpoints_is_not_written_over(trained, demo, tmp_path):
    before = snapshot(trained[1])
    process = run_tool('train', CONFIG, '--work-dir', trained[1], *demo_options(demo), cwd=tmp_path)
    assert 'has checkpoints of an earlier run' in the_message(process)
    assert snapshot(trained[1]) == before


def test_demo_clips_of_other_parameters_get_a_folder_of_their_own(demo, tmp_path):
    before = snapshot(demo)
    changes = {'data.train_clips': 5, 'train_cfg.max_iters': 2}
    process = run_tool('train', CONFIG, *quiet_options(demo, **changes), cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    assert snapshot(demo) == before
    (other,) = demo.parent.glob(f'{demo.name}_*')
    assert len(list((other / 'train').iterdir())) == 5
