"""A training that does not fit: a fake that runs out of memory above a bound stands for the device."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from vrtspike.candidates.training import accumulated
from vrtspike.engine import out_of_memory
from vrtspike.engine.out_of_memory import estimate, out_of_memory_report, smaller_candidates
from vrtspike.errors import ConfigError, TrainingError
from vrtspike.registry import HOOKS

SMALL = {
    'default_hooks.ema': None,
    'train_cfg.max_iters': 2,
    'optim_wrapper.accumulative_counts': 1,
    'param_scheduler': [],
}
LARGE = {
    'model.tsa.max_batch_tokens': 49152,
    'model.fusion': {'_delete_': True, 'type': 'TemporalCrossAttention', 'max_batch_tokens': 49152},
}


@HOOKS.register_module()
class SmallDevice(Hook):
    """Runs out of memory until a config uses the candidates named."""

    def __init__(self, needs, iteration=0):
        self.needs, self.iteration = needs, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        unused = {candidate.name for candidate in smaller_candidates(runner.cfg)}
        if runner.iter >= self.iteration and unused & set(self.needs):
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 15.80 GiB\nfurther lines')


@pytest.fixture
def quick_report(monkeypatch):
    """Estimates nothing: what a report says is tested apart."""
    monkeypatch.setattr(out_of_memory, 'estimate', lambda config: {'stage1': 1.0})


@pytest.fixture
def run_on_a_small_device(run_minimal, tmp_path):
    def run(needs, iteration=0, **changes):
        hooks = {'custom_hooks': [dict(type='SmallDevice', needs=list(needs), iteration=iteration)]}
        return run_minimal(tmp_path, **{**SMALL, **LARGE, **hooks, **changes})

    return run


def test_the_report_names_stages_and_lines(run_on_a_small_device):
    with pytest.raises(TrainingError) as caught:
        run_on_a_small_device(['checkpointing'])
    report = str(caught.value)
    assert report.startswith('memory ran out: CUDA out of memory. Tried to allocate 15.80 GiB\nSaved activations: ')
    assert 'stage1 ' in report
    assert 'checkpointing  (about ' in report
    assert 'model.backbone.use_checkpoint_attn=True model.backbone.use_checkpoint_ffn=True' in report
    assert 'train_dataloader.batch_size=1 optim_wrapper.accumulative_counts=2' in report
    assert 'could not be estimated' not in report


@pytest.mark.parametrize(
    ('needs', 'expected'),
    [
        (['checkpointing'], (True, 49152, 2, 1, 2)),
        pytest.param(['checkpointing', 'chunks'], (True, 8192, 2, 1, 2), marks=pytest.mark.slow),
        (['checkpointing', 'chunks', 'accumulation'], (True, 8192, 1, 2, 4)),
    ],
)
def test_auto_fit_tries_what_costs_least_first(run_on_a_small_device, quick_report, needs, expected):
    config = run_on_a_small_device(needs, auto_fit=True).cfg
    found = (
        config.model.backbone.use_checkpoint_attn,
        config.model.fusion.max_batch_tokens,
        config.train_dataloader.batch_size,
        config.optim_wrapper.accumulative_counts,
        config.train_cfg.max_iters,
    )
    assert found == expected


def test_auto_fit_goes_on_from_the_newest_checkpoint(run_on_a_small_device, quick_report, monkeypatch):
    begun, out_of_memory_at_1 = [], SmallDevice.before_train_iter

    def before_train_iter(self, runner, **arguments):
        begun.append(runner.iter)
        out_of_memory_at_1(self, runner, **arguments)

    monkeypatch.setattr(SmallDevice, 'before_train_iter', before_train_iter)
    run_on_a_small_device(['checkpointing'], iteration=1, auto_fit=True)
    assert begun == [0, 1, 1]


def test_auto_fit_never_changes_the_batch_between_checkpoints(run_on_a_small_device, quick_report):
    with pytest.raises(TrainingError, match='The batch size cannot change between checkpoints: start a new run'):
        run_on_a_small_device(['checkpointing', 'chunks', 'accumulation'], iteration=1, auto_fit=True)


def test_other_errors_are_not_taken_for_it(run_minimal, tmp_path, monkeypatch):
    monkeypatch.setattr(SmallDevice, 'before_train_iter', lambda *_, **__: torch.ones(2) @ torch.ones(3))
    hooks = {'custom_hooks': [dict(type='SmallDevice', needs=[])]}
    with pytest.raises(RuntimeError, match='inconsistent tensor size'):
        run_minimal(tmp_path, **SMALL | hooks, auto_fit=True)


def test_estimates_grow_with_the_batch_and_shrink_by_checkpointing(minimal_config):
    one, two = (estimate(minimal_config(**{'train_dataloader.batch_size': size})) for size in (1, 2))
    less = estimate(
        minimal_config(**{'model.backbone.use_checkpoint_attn': True, 'model.backbone.use_checkpoint_ffn': True})
    )
    assert 1.5 < sum(two.values()) / sum(one.values()) < 2.1
    assert less['stage1'] < two['stage1']
    assert {'stage1', 'stage8', 'spike_encoder', 'fuse1'} <= two.keys()


@pytest.mark.parametrize(
    ('policy', 'expected'),
    [
        ('attn', {'model.backbone.checkpointing': 'all'}),
        ('all', None),
        ('auto', {'model.backbone.checkpointing': 'all'}),
    ],
)
def test_a_policy_of_checkpointing_is_what_is_changed(minimal_config, policy, expected):
    config = minimal_config(**{'model.backbone.checkpointing': policy})
    found = {candidate.name: candidate.overrides for candidate in smaller_candidates(config)}
    assert found.get('checkpointing') == expected


def test_accumulation_keeps_the_clips_of_a_step(minimal_config):
    config = minimal_config(**{'train_dataloader.batch_size': 4, 'optim_wrapper.accumulative_counts': 3})
    config.merge_from_dict(accumulated(config.to_dict(), 4))
    assert config.train_dataloader.batch_size * config.optim_wrapper.accumulative_counts == 12
    assert [schedule.begin for schedule in config.param_scheduler] == [0, 8]
    assert config.param_scheduler[0].end == 8
    assert config.train_cfg.max_iters == 24


def test_a_network_that_cannot_be_estimated_is_reported_all_the_same(minimal_config):
    config = minimal_config()
    config.model.type = 'Gone'
    report = out_of_memory_report(config, torch.OutOfMemoryError('CUDA'))
    assert 'The saved activations could not be estimated: ' in report


def test_what_the_gpu_held_is_written_to_the_folder_of_the_run(minimal_config, quick_report, tmp_path, monkeypatch):
    config = minimal_config(work_dir=str(tmp_path))
    report = out_of_memory_report(config, torch.OutOfMemoryError('CUDA'))
    assert 'memory_viz' not in report  # without a GPU
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda.memory, '_dump_snapshot', lambda name: Path(name).write_bytes(b'snapshot'))
    path = tmp_path / 'memory_snapshot.pickle'
    report = out_of_memory_report(config, torch.OutOfMemoryError('CUDA'))
    assert f'What the GPU held is in {path}: open it at https://pytorch.org/memory_viz' in report
    assert path.read_bytes() == b'snapshot'


def test_a_snapshot_that_cannot_be_written_hides_nothing(minimal_config, quick_report, tmp_path, monkeypatch):
    def fail(name):
        raise RuntimeError('no history')

    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda.memory, '_dump_snapshot', fail)
    report = out_of_memory_report(minimal_config(work_dir=str(tmp_path)), torch.OutOfMemoryError('CUDA: 15 GiB'))
    assert report.startswith('memory ran out: CUDA: 15 GiB')
    assert 'could not be written: RuntimeError: no history' in report


def test_several_processes_are_refused(minimal_config, tmp_path):
    from vrtspike.engine.training import train

    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        with pytest.raises(ConfigError, match='auto_fit=True works in one process'):
            train(minimal_config(auto_fit=True), work_dir=str(tmp_path / 'run'), launcher='pytorch')
    finally:
        torch.distributed.destroy_process_group()
