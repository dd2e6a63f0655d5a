"""Progressive crops in a real training: phases, their samples in order, a resumed run in the right one."""

import pytest
from mmengine.hooks import Hook

from vrtspike.config import load_config
from vrtspike.errors import ConfigError
from vrtspike.hooks import ProgressiveCropsHook
from vrtspike.plugins import configs_folder
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
        [dict(crop=8, iters=2, ratio=0.5), dict(crop=16)],
        [dict(crop=8, ratio=1.0), dict(crop=16)],
        [dict(crop=8, ratio=0.5), dict(crop=16, ratio=0.5)],
    ],
)
def test_phases_that_do_not_follow_each_other_are_refused(phases):
    with pytest.raises(ConfigError, match=r'phases\[\d\] is .*expected crop'):
        ProgressiveCropsHook(phases)


def test_phases_that_leave_nothing_to_the_last_one_are_refused():
    with pytest.raises(ConfigError, match='the ratios add up to 1 or more'):
        ProgressiveCropsHook([dict(crop=8, ratio=0.5), dict(crop=16, ratio=0.5), dict(crop=32)])


def phases_of(hook, max_iters):
    return [hook.phase_at(i, max_iters) for i in range(max_iters)]


def test_phases_begin_where_the_one_before_ends():
    hook = ProgressiveCropsHook([dict(crop=8, iters=2), dict(crop=16, iters=3), dict(crop=32)])
    assert phases_of(hook, 7) == [0, 0, 1, 1, 1, 2, 2]


def test_shares_follow_the_length_of_the_run():
    hook = ProgressiveCropsHook([dict(crop=8, ratio=0.5), dict(crop=16, ratio=0.25), dict(crop=32)])
    assert phases_of(hook, 8) == [0] * 4 + [1] * 2 + [2] * 2
    assert phases_of(hook, 3) == [0, 0, 1]
    assert phases_of(hook, 60_000).count(0) == 30_000


@pytest.mark.parametrize('recipe', ['progressive_crops', 'all'])
@pytest.mark.parametrize('cpu_overrides', [False, True])
def test_a_shortened_run_of_a_recipe_has_all_its_phases(recipe, cpu_overrides):
    path = configs_folder() / f'recipes/{recipe}.py'
    config = load_config(path, overrides={'train_cfg.max_iters': 24}, cpu_overrides=cpu_overrides)
    assert set(phases_of(HOOKS.build(config.default_hooks.crops), 24)) == {0, 1}
    whole = load_config(path)
    assert phases_of(HOOKS.build(whole.default_hooks.crops), whole.train_cfg.max_iters).count(0) == 40_000
