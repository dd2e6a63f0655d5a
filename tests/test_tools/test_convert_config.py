import pytest
from tool_processes import run_tool

from vrtspike.config import load_config

OLD = """
SEED: 7
DATA: {ROOT: clips, CROP_SIZE: 192, K: 16, NUM_VOXEL_BINS: 16, IMAGE_EXTS: [.png]}
MODEL:
  VRT_DEPTHS: [8, 6, 6, 8, 4, 4, 4, 4]
  WINDOW_SIZE: 6
  FUSE: {CHUNK_SIZE: 96, MAX_BATCH_TOKENS: 65536, TYPE: cross}
TRAIN: {EPOCHS: 20, BATCH_SIZE: 2, OPTIM: {LR: 2e-4}, SCHED: {WARMUP_STEPS: 100}}
"""


def convert(folder, *arguments):
    return run_tool('convert_config', folder / 'old.yaml', *arguments)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'old.yaml').write_text(OLD)
    return tmp_path


def test_the_result_is_a_config_of_its_differences(folder):
    result = convert(folder)
    assert result.returncode == 0, result.stderr
    text = (folder / 'old.py').read_text()
    assert len(text.splitlines()) < 45
    config = load_config(folder / 'old.py')
    assert config.randomness.seed == 7
    assert config.model.backbone.depths == [8, 6, 6, 8, 4, 4, 4, 4]
    assert config.model.backbone.window_size == [5, 6, 6]
    assert config.model.spike_encoder.bins == 16
    assert config.train_dataloader.dataset.pipeline[2].representation.bins == 16
    assert config.train_dataloader.dataset.source.root == 'clips'
    assert config.param_scheduler[1].begin == 600
    assert config.optim_wrapper.optimizer.lr == 2e-4
    assert config.optim_wrapper.type == 'OptimWrapper'  # nothing was said about precision
    for part in ('wrote', 'changed', 'TRAIN.EPOCHS: trainings are counted in iterations', 'MODEL.FUSE.TYPE'):
        assert part in result.stdout


def test_nothing_is_written_over(folder):
    (folder / 'old.py').write_text('precious')
    result = convert(folder)
    assert result.returncode == 1
    assert 'old.py exists' in result.stderr
    assert (folder / 'old.py').read_text() == 'precious'
    assert convert(folder, '--force').returncode == 0


@pytest.mark.parametrize(
    ('old', 'message'),
    [
        (
            'TRAIN: {TOTAL_STEPS: 100, SCHED: {WARMUP_STEPS: 100}}',
            'begins at iteration 600, but train_cfg.max_iters is 600',
        ),
        ('TRAIN: {TOTAL_STEPS: x}', 'expected a number'),
    ],
)
def test_what_could_not_be_trained_is_not_written(folder, old, message):
    (folder / 'old.yaml').write_text(old)
    result = convert(folder)
    assert result.returncode == 1
    assert message in result.stderr
    assert not (folder / 'old.py').exists()


def test_a_network_without_spikes(folder):
    (folder / 'old.yaml').write_text('MODEL: {USE_SPIKE: false, FUSE: {HEADS: 2}}')
    assert convert(folder).returncode == 0
    assert load_config(folder / 'old.py').model.fusion is None


def test_unknown_keys_write_nothing(folder):
    (folder / 'old.yaml').write_text('DATA: {CROPSIZE: 3}')
    result = convert(folder)
    assert result.returncode == 1
    assert "DATA.CROPSIZE: unknown key; did you mean 'DATA.CROP_SIZE'" in result.stderr
    assert [path.name for path in folder.iterdir()] == ['old.yaml']


def test_options_of_kair_in_two_phases(tmp_path):
    """The second config inherits the first, and both can be trained."""
    (tmp_path / 'old.yaml').write_text("""
datasets: {train: {dataroot_gt: x, num_frame: 6, gt_size: [64, 32], dataloader_batch_size: [4, 2]}}
netG: {net_type: vrt, window_size: [6, 8, 8]}
train: {total_iter: 100, fix_iter: 40, fix_keys: [spynet], G_optimizer_type: adam, G_optimizer_lr: 4e-4}
""")
    result = convert(tmp_path, '--out', str(tmp_path / 'new.py'))
    assert result.returncode == 0, result.stderr
    first, second = (load_config(tmp_path / f'{name}.py') for name in ('new', 'new_phase2'))
    assert [each.train_cfg.max_iters for each in (first, second)] == [40, 60]
    assert [each.train_dataloader.dataset.pipeline[0].size for each in (first, second)] == [64, 32]
    assert first.optim_wrapper.optimizer == dict(type='Adam', lr=4e-4, weight_decay=0.0, betas=[0.9, 0.999])
    assert first.model.get('fusion') is None
    assert "_base_ = 'new.py'" in (tmp_path / 'new_phase2.py').read_text()
    assert 'then' in result.stdout
    assert '--load-from' in result.stdout
