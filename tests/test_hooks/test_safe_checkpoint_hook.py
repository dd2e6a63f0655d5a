import pytest
import torch
from mmengine.runner import CheckpointLoader

from vrtspike.hooks.safe_checkpoint_hook import DeferredRemovals, SafeCheckpointHook
from vrtspike.metrics import RestorationQuality
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, use_safe_checkpoints


def with_checkpoints(**settings):
    return {'default_hooks': {'checkpoint': dict(type='SafeCheckpointHook', **settings)}}


def checkpoints(work_dir):
    return sorted(path.name for path in work_dir.glob('*.pth'))


@pytest.fixture
def safe_loading(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    use_safe_checkpoints()


def test_keeps_the_last_and_the_best(make_runner, tmp_path):
    make_runner(4, **with_checkpoints(interval=1, max_keep_ckpts=2, save_best='psnr')).train()
    assert checkpoints(tmp_path / 'run') == ['best_psnr_iter_4.pth', 'iter_3.pth', 'iter_4.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('iter_4.pth')


def test_a_better_checkpoint_replaces_the_best(make_runner, tmp_path, monkeypatch):
    scores = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(RestorationQuality, 'compute_metrics', lambda self, results: {'psnr': next(scores)})
    every_iteration = {'type': 'IterBasedTrainLoop', 'max_iters': 3, 'val_interval': 1}
    make_runner(train_cfg=every_iteration, **with_checkpoints(save_best='psnr')).train()
    assert checkpoints(tmp_path / 'run') == ['best_psnr_iter_2.pth', 'iter_3.pth']


def test_a_failing_save_leaves_the_checkpoint_before(make_runner, tmp_path, monkeypatch):
    runner = make_runner(3, **with_checkpoints(interval=1, max_keep_ckpts=1))
    whole = torch.save
    monkeypatch.setattr(torch, 'save', lambda state, file: fail_at(2, whole, state, file))
    with pytest.raises(OSError, match='No space left'):
        runner.train()
    assert checkpoints(tmp_path / 'run') == ['iter_1.pth']
    assert load_checkpoint_file(tmp_path / 'run' / 'iter_1.pth')['meta']['iter'] == 1
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('iter_1.pth')


def fail_at(iteration, save, state, file):
    if state['meta']['iter'] == iteration:
        raise OSError(28, 'No space left on device')
    save(state, file)


@pytest.mark.parametrize('amp', [False, True])
def test_a_run_resumes_weights_only_and_ends_the_same(make_runner, tmp_path, safe_loading, amp):
    settings = with_checkpoints(interval=2, save_best='psnr', max_keep_ckpts=3)
    if amp:
        optimizer = {'type': 'AdamW', 'lr': 1e-2}
        settings['optim_wrapper'] = {'type': 'DeviceAmpOptimWrapper', 'optimizer': optimizer}
    straight = make_runner(4, **settings).train().state_dict()
    runner = make_runner(4, load_from=str(tmp_path / 'run' / 'iter_2.pth'), resume=True, **settings)
    resumed = runner.train().state_dict()
    assert runner.iter == 4
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 4


def test_a_misspelt_argument_is_refused_when_built():
    with pytest.raises(TypeError, match='intervall'):
        SafeCheckpointHook(intervall=1)


def test_superseded_files_are_kept_when_replaced(tmp_path):
    removals = DeferredRemovals()
    for name in ('old', 'replaced'):
        (tmp_path / name).write_text('old')
        removals.remove(tmp_path / name)
    (tmp_path / 'new').write_text('new')
    (tmp_path / 'new').replace(tmp_path / 'replaced')
    assert (tmp_path / 'old').exists()
    removals.remove_now()
    assert [path.name for path in tmp_path.iterdir()] == ['replaced']
