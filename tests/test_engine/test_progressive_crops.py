"""Progressive crops in a real training: phases, their samples in order, a resumed run in the right one."""

import pytest
from mmengine.hooks import Hook

from vrtspike.errors import ConfigError
from vrtspike.hooks import ProgressiveCropsHook
from vrtspike.registry import HOOKS

PHASES = [dict(crop=8, batch_size=3, iters=2), dict(crop=16)]


@HOOKS.register_module()
class SeenHook(Hook):
    """Notes the shapes and the samples of batches."""

    seen: dict = {}  # noqa: RUF012 - read by the tests

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        names = list(zip(data_batch['meta']['name'], data_batch['blur'].tolist(), strict=True))
        self.seen[runner.iter] = (tuple(data_batch['blur'].shape[::4]), names)


@pytest.fixture
def seen(run_minimal, tmp_path):
    def run(name='run', resume=None, **changes):
        SeenHook.seen = {}
        lite = {
            'default_hooks.ema': None,
            'default_hooks.crops': dict(type='ProgressiveCropsHook', phases=PHASES),
            'custom_hooks': [dict(type='SeenHook')],
            'train_cfg.max_iters': 4,
            'train_cfg.val_interval': 100,
        }
        run_minimal(tmp_path / name, resume, **lite, **changes)
        return SeenHook.seen

    return run


def test_phases_follow_each_other_and_a_resumed_run_too(seen, tmp_path):
    whole = seen()
    assert [shape for shape, _ in whole.values()] == [(3, 8), (3, 8), (2, 16), (2, 16)]
    for saved_at in (1, 3):
        resumed = seen(f'resumed{saved_at}', str(tmp_path / f'run/iter_{saved_at}.pth'))
        assert resumed == {i: whole[i] for i in range(saved_at, 4)}


@pytest.mark.parametrize(
    'phases',
    [
        [dict(crop=8), dict(crop=16)],
        [dict(crop=8, iters=3)],
        [dict(crop=8, iters=0), dict(crop=16)],
        [dict(size=8, iters=2), dict(crop=16)],
        [dict(crop=8, iters=2, batch=3), dict(crop=16)],
    ],
)
def test_phases_that_do_not_follow_each_other_are_refused(phases):
    with pytest.raises(ConfigError, match=r'phases\[\d\] is .*expected crop'):
        ProgressiveCropsHook(phases)


def test_phases_begin_where_the_one_before_ends():
    hook = ProgressiveCropsHook([dict(crop=8, iters=2), dict(crop=16, iters=3), dict(crop=32)])
    assert [hook.phase_at(i) for i in range(7)] == [0, 0, 1, 1, 1, 2, 2]
