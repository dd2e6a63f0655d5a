"""What a checkpoint needs to be resumed, and which schedule then counts."""

import json
import shutil

import pytest
import torch

from vrtspike.config import load_config
from vrtspike.engine.run_folder import AUTO, LATEST
from vrtspike.engine.training import train
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.runtime.checkpoint_files import load_checkpoint_file


def altered(path, target, **changes):
    """Save a checkpoint with some keys changed, or without those that are None."""
    contents = load_checkpoint_file(path) | changes
    torch.save({key: value for key, value in contents.items() if value is not None}, target)
    return target


def with_nan(whole):
    weights = load_checkpoint_file(whole / 'iter_4.pth')['state_dict']
    next(value for value in weights.values() if value.is_floating_point())[:] = torch.nan
    return dict(state_dict=weights)


@pytest.mark.parametrize(
    ('changes', 'settings', 'message'),
    [
        (
            dict(optimizer=None, param_schedulers=None),
            {},
            'lacks the optimizer state, the schedule state',
        ),
        (dict(meta={}), {}, 'lacks the iteration'),
        ({}, {'model.spike_encoder.channels': 12}, r'does not fit the network\. Weights: .* of another shape'),
        ({}, {'model.backbone.depths': [2, 1, 1, 1, 1, 1, 1, 1]}, r'does not fit the network\. Weights: .* missing'),
        (with_nan, {}, r'has NaN or infinity in 1 of its \d+ weights'),
        ({}, {'default_hooks.ema': None}, 'averaged weights .* no EMAHook'),
        (
            {},
            {'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1)},
            r"settings \['betas'\], but the config has",
        ),
        ({}, {'optim_wrapper.paramwise_cfg.norm_decay_mult': 0.0}, 'tensors in its parameter groups'),
        ({}, {'param_scheduler': [dict(type='StepLR', step_size=2, by_epoch=False)]}, 'pass --new-schedule'),
        ({}, {'train_cfg.max_iters': 3}, r'iteration 4, but train_cfg\.max_iters is 3: nothing is left to train'),
    ],
)
def test_what_cannot_be_resumed_is_refused_in_one_message(run_minimal, whole, tmp_path, changes, settings, message):
    changes = changes(whole) if callable(changes) else changes
    path = altered(whole / 'iter_4.pth', tmp_path / 'iter_4.pth', **changes)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        run_minimal(tmp_path / 'run', str(path), **settings)


def test_the_best_checkpoint_is_refused_with_what_to_do(run_minimal, whole, tmp_path):
    (best,) = whole.glob('best_psnr_*.pth')
    with pytest.raises(CheckpointError, match=rf'lacks .*iter_\*\.pth.*--load-from {best}'):
        run_minimal(tmp_path, str(best))
    assert not list(tmp_path.iterdir())


def warnings_of(work_dir):
    (log,) = work_dir.glob('*/*.log')
    lines = [line.partition('WARNING - ')[2] for line in log.read_text().splitlines() if 'WARNING' in line]
    return [line for line in lines if '"FileClient" will be deprecated' not in line]  # at every start


def test_a_resumed_training_warns_of_nothing(run_minimal, whole, tmp_path):
    shutil.copy(whole / 'iter_3.pth', tmp_path)  # amid accumulated gradients
    run_minimal(tmp_path, LATEST)
    assert warnings_of(tmp_path) == []


@pytest.fixture
def longer(run_minimal, tmp_path_factory):
    """The folder of an uninterrupted training with the settings that others change to when they resume."""
    folder = tmp_path_factory.mktemp('longer')
    run_minimal(folder, **LONGER)
    return folder


LONGER = {'train_cfg.max_iters': 8, 'optim_wrapper.optimizer.lr': 5e-5, 'optim_wrapper.optimizer.weight_decay': 0.5}


def test_the_checkpoints_schedule_counts_and_a_warning_names_the_differences(run_minimal, whole, tmp_path, logged):
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    runner = run_minimal(tmp_path, LATEST, **LONGER)
    assert runner.optim_wrapper.param_groups[0]['weight_decay'] == 1e-4
    assert [logged(tmp_path)[i]['lr'] for i in (5, 6)] == [logged(whole)[i]['lr'] for i in (5, 6)]
    (warning,) = warnings_of(tmp_path)
    assert warning.startswith('The learning rate and the schedules of the checkpoint are used')
    (log,) = tmp_path.glob('*/*.log')
    for line in (
        'optimizer.lr: 0.0008 in the checkpoint, 5e-05 in the config',
        'optimizer.weight_decay: 0.0001 in the checkpoint, 0.5 in the config',
        'CosineAnnealingLR.T_max: 4 in the checkpoint, 5 in the config',
    ):
        assert line in log.read_text()


def test_a_new_schedule_is_that_of_a_training_which_had_it_from_the_start(run_minimal, whole, longer, tmp_path, logged):
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    before = load_checkpoint_file(whole / 'iter_4.pth')['optimizer']['state']
    runner = run_minimal(tmp_path, LATEST, new_schedule=True, **LONGER)
    expected = logged(longer)
    assert {i: record['lr'] for i, record in logged(tmp_path).items()} == {i: expected[i]['lr'] for i in (5, 6, 7, 8)}
    group = runner.optim_wrapper.param_groups[0]
    assert (group['initial_lr'], group['weight_decay']) == (5e-5, 0.5)
    one, other = (load_checkpoint_file(run / 'iter_8.pth')['param_schedulers'] for run in (longer, tmp_path))
    assert [state['last_step'] for state in one] == [state['last_step'] for state in other]
    after = load_checkpoint_file(tmp_path / 'iter_8.pth')['optimizer']['state']
    assert {int(state['step']) for state in after.values()} == {int(before[0]['step']) + 1}  # one more in 8 iterations
    assert warnings_of(tmp_path) == []


def test_a_new_schedule_may_be_of_another_kind(run_minimal, whole, tmp_path, logged):
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    steps = [dict(type='MultiStepLR', milestones=[2, 5], gamma=0.1, by_epoch=False)]
    run_minimal(tmp_path, LATEST, new_schedule=True, param_scheduler=steps)
    assert [logged(tmp_path)[i]['lr'] for i in (5, 6)] == pytest.approx([8e-5, 8e-6])


def test_a_new_schedule_needs_something_to_resume(run_minimal, tmp_path):
    with pytest.raises(ConfigError, match='give --resume too'):
        run_minimal(tmp_path, new_schedule=True)


def test_a_training_that_has_ended_keeps_its_report(run_minimal, whole, tmp_path):
    shutil.copy(whole / 'iter_6.pth', tmp_path)
    (tmp_path / 'report.json').write_text('{"iterations": 6}')
    runner = run_minimal(tmp_path, AUTO, **{'default_hooks.training_report': dict(type='TrainingReportHook')})
    assert runner.iter == 6
    assert (tmp_path / 'report.json').read_text() == '{"iterations": 6}'
    (log,) = tmp_path.glob('*/*.log')
    assert 'Nothing is left to train: the checkpoint is at iteration 6, the last one.' in log.read_text()


def test_a_config_saved_by_an_earlier_version_resumes_the_same(minimal_config, whole, tmp_path, logged):
    """Earlier versions kept the shipped hooks in ``custom_hooks``, without names."""
    stage_cost = dict(type='StageCostHook', interval=1, warmup=1, roofline=False)
    config = minimal_config(**{'default_hooks.flops': dict(type='FlopsHook'), 'default_hooks.stage_cost': stage_cost})
    unnamed = [name for name in config.default_hooks if name not in ('checkpoint', 'logger')]
    config.custom_hooks = [config.default_hooks.pop(name) for name in unnamed]
    config.dump(tmp_path / 'old.py')
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    old = load_config(tmp_path / 'old.py')
    train(old, work_dir=str(tmp_path), resume=LATEST)
    assert logged(tmp_path) == {i: logged(whole)[i] for i in (5, 6)}
    run, sample = map(json.loads, (tmp_path / 'stage_costs.jsonl').read_text().splitlines())
    assert (run['kind'], sample['iteration']) == ('run', 6)
    assert run['costs'] is not None


def test_mmengines_way_to_resume_in_a_config(run_minimal, whole, tmp_path, logged):
    shutil.copy(whole / 'iter_4.pth', tmp_path)
    run_minimal(tmp_path, resume=True)
    assert sorted(logged(tmp_path)) == [5, 6]


def test_checkpoints_by_epoch_in_a_folder_apart_are_resumed(run_minimal, tmp_path, logged):
    settings = {
        'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=5),
        'train_dataloader.sampler': dict(_delete_=True, type='DefaultSampler', shuffle=True),
        'param_scheduler': [dict(type='StepLR', step_size=1, by_epoch=True)],
        'warm_up': None,
        'log_processor.by_epoch': True,
        'default_hooks.checkpoint.by_epoch': True,
        'default_hooks.checkpoint.out_dir': str(tmp_path / 'apart'),
    }
    run_minimal(tmp_path / 'run', **settings)
    assert (tmp_path / 'apart/run/epoch_2.pth').is_file()
    with pytest.raises(CheckpointError, match='has checkpoints of an earlier run'):
        run_minimal(tmp_path / 'run', **settings)
    (tmp_path / 'apart/run/epoch_2.pth').unlink()
    runner = run_minimal(tmp_path / 'run', LATEST, new_schedule=True, **settings)
    assert runner.epoch == 2
    assert runner.optim_wrapper.param_groups[0]['lr'] == pytest.approx(8e-5)  # after one epoch
