import json

import pytest
import torch
from mmengine.config import Config

from vrtspike.config.hooks import hooks_of
from vrtspike.engine.training import add_bad_samples_hook
from vrtspike.errors import DataError
from vrtspike.hooks import BadSamplesHook, TrainingReportHook


class SkippingClips(torch.utils.data.Dataset):
    """Clips of which every second one stands in for another."""

    max_bad_samples = 3

    def __len__(self):
        return 4

    def __getitem__(self, index):
        frames = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
        skipped = f'clip {index}: a.png is damaged\nclip 9: b.dat is damaged' if index % 2 else ''
        meta = {'name': 'street', 'first_frame': str(index), 'skipped': skipped}
        return {'blur': frames, 'sharp': frames, 'meta': meta}


@pytest.fixture
def run(make_runner, log_of, tmp_path):
    """Return a function that trains for some iterations of one clip each and returns what was logged."""

    def run(iters):
        sampler = {'type': 'DefaultSampler', 'shuffle': False}
        loader = {'batch_size': 1, 'dataset': SkippingClips(), 'sampler': sampler, 'num_workers': 0}
        runner = make_runner(
            iters,
            [BadSamplesHook(), TrainingReportHook()],
            train_dataloader={**loader, 'collate_fn': {'type': 'default_collate'}},
        )
        runner.train()
        return log_of(runner), json.loads((tmp_path / 'run' / 'report.json').read_text())

    return run


def test_skipped_samples_are_logged_counted_and_summed_up(run):
    log, report = run(2)
    assert log.count('Skipped a sample that cannot be read: clip 1: a.png is damaged') == 1
    assert '2 samples were skipped, because they cannot be read' in log
    assert '1 x clip 9: b.dat is damaged' in log
    assert report['skipped_samples'] == 2


def test_without_any_it_says_so(run):
    log, report = run(1)
    assert 'Every sample could be read' in log
    assert report['skipped_samples'] == 0


def test_too_many_end_the_run(run):
    with pytest.raises(DataError, match=r'4 samples could not be read, more than max_bad_samples=3; the last one is'):
        run(4)


@pytest.mark.parametrize(
    ('mode', 'given', 'expected'), [('skip', [], 1), ('skip', ['BadSamplesHook'], 1), ('raise', [], 0)]
)
def test_training_adds_it_where_samples_may_be_skipped(mode, given, expected):
    hooks = [dict(type=name) for name in given]
    config = Config(dict(train_dataloader=dict(dataset=dict(on_bad_sample=mode)), custom_hooks=hooks))
    add_bad_samples_hook(config)
    assert [hook['type'] for hook in hooks_of(config).values()].count('BadSamplesHook') == expected


def test_configs_without_data_or_hooks_pass():
    config = Config(dict(model=dict()))
    add_bad_samples_hook(config)
    assert hooks_of(config) == {}
