import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config

from vrtspike.engine import training
from vrtspike.engine.run_folder import (
    LATEST,
    choose_work_dir,
    has_checkpoints,
    newest_checkpoint,
    newest_whole_checkpoint,
    remove_leftovers,
)
from vrtspike.engine.training import (
    check_schedules,
    schedule_text,
    train,
    wants_cpu_overrides,
    with_amp,
)
from vrtspike.errors import CheckpointError, ConfigError, DamagedCheckpointError


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def checkpoint(path, **content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': {'weight': torch.zeros(1)}, **content}, path)
    return path


class TestWorkDir:
    def test_the_first_run_of_a_config_takes_its_name(self):
        assert choose_work_dir('configs/net.py', None, None) == Path('work_dirs/net')

    def test_a_folder_without_checkpoints_is_taken_again(self):
        Path('work_dirs/net').mkdir(parents=True)
        Path('work_dirs/net/report.json').write_text('{}')
        assert choose_work_dir('net.py', None, None) == Path('work_dirs/net')

    def test_runs_with_checkpoints_are_left_alone(self):
        checkpoint('work_dirs/net/iter_1.pth')
        checkpoint('work_dirs/net_2/iter_1.pth')
        assert choose_work_dir('net.py', None, None) == Path('work_dirs/net_3')

    def test_resuming_takes_the_latest_run(self):
        checkpoint('work_dirs/net/iter_1.pth')
        checkpoint('work_dirs/net_2/iter_1.pth')
        assert choose_work_dir('net.py', None, LATEST) == Path('work_dirs/net_2')

    def test_resuming_a_checkpoint_takes_its_folder(self):
        assert choose_work_dir('net.py', None, 'elsewhere/iter_7.pth') == Path('elsewhere')

    def test_a_folder_asked_for_that_holds_checkpoints_is_refused(self):
        checkpoint('mine/iter_1.pth')
        with pytest.raises(CheckpointError, match='mine holds checkpoints of an earlier run: continue with --resume'):
            choose_work_dir('net.py', 'mine', None)
        assert choose_work_dir('net.py', 'mine', LATEST) == Path('mine')
        assert choose_work_dir('net.py', 'another', None) == Path('another')


def test_the_newest_checkpoint_is_the_one_of_most_iterations():
    assert newest_checkpoint(Path('nowhere')) is None
    for name in ('iter_9.pth', 'iter_10.pth', 'best_psnr_iter_12.pth', 'iter_11.pth.aside'):
        checkpoint(Path('run') / name)
    assert newest_checkpoint(Path('run')) == Path('run/iter_10.pth')
    assert has_checkpoints(Path('run'))


def test_the_newest_whole_checkpoint_is_the_one_to_resume():
    assert newest_whole_checkpoint(Path('nowhere')) is None
    for i in (1, 2, 3):
        checkpoint(f'run/iter_{i}.pth')
    Path('run/iter_3.pth').write_bytes(Path('run/iter_3.pth').read_bytes()[:-40])
    Path('run/iter_2.pth').write_bytes(b'')
    assert newest_whole_checkpoint(Path('run')) == Path('run/iter_1.pth')
    Path('run/iter_1.pth').write_bytes(b'')
    with pytest.raises(DamagedCheckpointError, match=r'iter_1\.pth \(0 bytes\) is cut off'):
        newest_whole_checkpoint(Path('run'))


class MakesAFolder:
    """Unpickling this runs code."""

    def __reduce__(self):
        return os.mkdir, ('run/proof',)


def test_code_in_the_newest_checkpoint_is_refused_and_neither_run_nor_passed_over():
    checkpoint('run/iter_1.pth')
    checkpoint('run/iter_2.pth', code=MakesAFolder())
    with pytest.raises(CheckpointError, match='--trust-checkpoint'):
        train(Config(dict()), work_dir='run', resume=LATEST)
    assert not Path('run/proof').exists()
    assert newest_whole_checkpoint(Path('run'), trust=True) == Path('run/iter_2.pth')
    assert Path('run/proof').exists()


def test_what_a_killed_run_was_writing_is_removed():
    Path('run').mkdir()
    for name in ('.iter_3.123.partial.pth', '.report.9.partial.json', 'iter_2.pth'):
        Path('run', name).touch()
    remove_leftovers(Path('run'))
    assert [path.name for path in Path('run').iterdir()] == ['iter_2.pth']


def test_resume_and_load_from_exclude_each_other():
    with pytest.raises(ConfigError, match='give one of them'):
        train(Config(), resume=LATEST, load_from='weights.pth')


class TestSchedules:
    WARM_UP: ClassVar = dict(type='LinearLR', by_epoch=False, begin=0, end=40)
    COSINE: ClassVar = dict(type='CosineAnnealingLR', by_epoch=False, begin=40)

    def test_one_that_would_never_begin_is_refused(self):
        config = Config(dict(param_scheduler=[self.WARM_UP, self.COSINE], train_cfg=dict(max_iters=3)))
        message = r'param_scheduler\[1\] \(CosineAnnealingLR\) begins at iteration 40, but train_cfg.max_iters is 3'
        with pytest.raises(ConfigError, match=message):
            check_schedules(config)

    @pytest.mark.parametrize(
        'config',
        [
            dict(),
            dict(param_scheduler=[WARM_UP, COSINE], train_cfg=dict(max_iters=41)),
            dict(param_scheduler=[dict(COSINE, by_epoch=True)], train_cfg=dict(max_iters=3)),
            dict(param_scheduler=dict(WARM_UP), train_cfg=dict(max_iters=3)),
            dict(param_scheduler=[COSINE]),
        ],
    )
    def test_others_pass(self, config):
        check_schedules(Config(config))

    @pytest.mark.parametrize(
        ('schedules', 'text'),
        [
            (
                [WARM_UP, COSINE],
                'warm-up (LinearLR) in iterations 1 to 40, CosineAnnealingLR in iterations 41 to 600',
            ),
            (dict(WARM_UP), 'warm-up (LinearLR) in iterations 1 to 40'),
            ([dict(COSINE, begin=0)], 'CosineAnnealingLR in iterations 1 to 600'),
            ([dict(COSINE, by_epoch=True)], ''),
            ([], ''),
        ],
    )
    def test_the_log_says_which_schedule_runs_when(self, schedules, text):
        assert schedule_text(Config(dict(param_scheduler=schedules, train_cfg=dict(max_iters=600)))) == text


@pytest.mark.parametrize(
    ('refused', 'gpu', 'wanted'), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_cpu_overrides_are_for_machines_without_a_gpu_unless_refused(monkeypatch, refused, gpu, wanted):
    monkeypatch.setattr(training.torch.cuda, 'is_available', lambda: gpu)
    assert wants_cpu_overrides(refused) is wanted


class TestAmp:
    @pytest.mark.parametrize('wrapper', [{}, {'type': 'OptimWrapper'}, {'type': 'DeviceAmpOptimWrapper'}])
    def test_the_wrapper_is_replaced(self, wrapper):
        config = Config(dict(optim_wrapper=wrapper))
        with_amp(config)
        assert config.optim_wrapper.type == 'DeviceAmpOptimWrapper'

    def test_another_wrapper_is_not_replaced_in_silence(self):
        with pytest.raises(ConfigError, match="the config has 'MyWrapper'"):
            with_amp(Config(dict(optim_wrapper=dict(type='MyWrapper'))))
