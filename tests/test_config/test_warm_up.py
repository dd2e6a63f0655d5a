"""Schedules that follow the length of the run."""

import pytest
import torch
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.config.warm_up import resolve_warm_up, warm_up_iterations
from vrtspike.errors import ConfigError
from vrtspike.registry import PARAM_SCHEDULERS

WARM_UP = dict(type='LinearLR', by_epoch=False, begin=0, end='warm_up')
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, begin='warm_up')


@pytest.fixture
def config(base, write):
    """The file of a config with a warm-up."""
    return write(f"_base_ = './base.py'\nwarm_up = dict(ratio=0.1)\nparam_scheduler = [{WARM_UP}, {COSINE}]\n")


@pytest.mark.parametrize(
    ('run_iters', 'limit', 'expected'),
    [
        (60_000, 1536, 1536),
        (620, 40, 40),
        (500, 20, 20),
        (50, None, 5),
        (24, 40, 2),
        (12, 40, 2),
        (3, 40, 2),
        (2, 40, 0),
        (1, 40, 0),
    ],
)
def test_a_tenth_of_the_run_up_to_a_limit(run_iters, limit, expected):
    assert warm_up_iterations(run_iters, 0.1, limit) == expected


@pytest.mark.parametrize('run_iters', [1, 2, 3, 4, 12, 24, 600])
def test_runs_of_any_length_reach_the_full_learning_rate(run_iters):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedules = [dict(WARM_UP, start_factor=1e-3), dict(COSINE, eta_min=0.0, end=run_iters)]
    found = resolved(schedules, run_iters, ratio=0.1, max_iters=40)
    built = [PARAM_SCHEDULERS.build({**node, 'optimizer': optimizer}) for node in found]
    rates = []
    for _ in range(run_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in built:
            scheduler.step()
    assert max(rates) == pytest.approx(0.5)


def resolved(scheduler, iterations=30, **rule):
    config = Config(dict(param_scheduler=scheduler, train_cfg=dict(max_iters=iterations), warm_up=rule))
    resolve_warm_up(config)
    return config.param_scheduler


def test_numbers_stay_as_they_are():
    numbers = [dict(WARM_UP, end=7), dict(COSINE, begin=7)]
    assert resolved(numbers, ratio=0.5) == numbers


def test_schedules_of_several_optimizers():
    found = resolved(dict(flow=[WARM_UP, COSINE], rest=dict(WARM_UP)), ratio=0.2)
    assert found.flow == [dict(WARM_UP, end=6), dict(COSINE, begin=6)]
    assert found.rest == dict(WARM_UP, end=6)


@pytest.mark.parametrize(('iterations', 'rule'), [(1, dict(ratio=0.5)), (30, dict(ratio=0)), (30, dict(max_iters=0))])
def test_a_warm_up_of_no_iterations_is_left_out(iterations, rule):
    assert resolved([WARM_UP, COSINE], iterations, **rule) == [dict(COSINE, begin=0)]


def test_none_is_no_warm_up():
    config = Config(dict(param_scheduler=[WARM_UP, COSINE], train_cfg=dict(max_iters=30), warm_up=None))
    resolve_warm_up(config)
    assert config.param_scheduler == [dict(COSINE, begin=0)]


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'param_scheduler.0.end': 'warmup'}, r"scheduler\.0\.end: expected a number .*'warm_up', found 'warmup'"),
        ({'warm_up.ratio': 3}, r'warm_up\.ratio: expected a share of the run from 0 to 1, found 3'),
        ({'warm_up.max_iters': 1.5}, r'warm_up\.max_iters: expected a number of iterations or None, found 1\.5'),
        ({'warm_up.iters': 3}, r"warm_up_iterations takes no 'iters'; did you mean 'max_iters'"),
        ({'train_cfg.max_iters': 'many'}, r"train_cfg\.max_iters: expected a whole number, found 'many'"),
    ],
)
def test_what_cannot_be_resolved_is_one_message(config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config, overrides=overrides)


def test_the_word_needs_its_length():
    config = Config(dict(param_scheduler=[WARM_UP], train_cfg=dict(max_iters=30)))
    with pytest.raises(ConfigError, match=r"'warm_up' is not set; add warm_up = dict\(ratio=0\.1\)"):
        resolve_warm_up(config)


def test_a_dumped_config_has_the_numbers(config, tmp_path):
    resolved_config = load_config(config, overrides={'train_cfg.max_iters': 24})
    resolved_config.dump(tmp_path / 'dumped.py')
    again = load_config(tmp_path / 'dumped.py')
    assert again.to_dict() == resolved_config.to_dict()
    assert [again.param_scheduler[0].end, again.param_scheduler[1].begin] == [2, 2]
