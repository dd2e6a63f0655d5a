import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.hooks import FreezeHook
from vrtspike.hooks.freeze_hook import check_allows_unused


class Recorder(Hook):
    """Notes after each iteration which parameters are trained, and the weights."""

    priority = 'LOWEST'

    def __init__(self):
        self.trained, self.weights = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.trained.append({name for name, p in runner.model.named_parameters() if p.requires_grad})
        self.weights.append({name: p.detach().clone() for name, p in runner.model.named_parameters()})


FLOW = {'backbone.flow.weight', 'backbone.flow.bias'}
REST = {'backbone.tail.weight', 'backbone.tail.bias', 'head.weight', 'head.bias'}


def freeze(iters=None, names=('backbone.flow',)):
    return {'type': 'FreezeHook', 'names': list(names), 'iters': iters}


def test_frozen_for_a_while_then_trained(make_runner):
    recorder = Recorder()
    runner = make_runner(4, hooks=[freeze(2), recorder])
    start = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    assert recorder.trained == [REST, REST, REST | FLOW, REST | FLOW]
    for name in FLOW:
        assert torch.equal(recorder.weights[1][name], start[name])
        assert not torch.equal(recorder.weights[2][name], start[name])
    assert not torch.equal(recorder.weights[0]['head.weight'], start['head.weight'])


def test_frozen_for_good(make_runner):
    recorder = Recorder()
    make_runner(2, hooks=[freeze(), recorder]).train()
    assert recorder.trained == [REST, REST]


@pytest.mark.parametrize(('saved_at', 'expected'), [(1, [REST, REST | FLOW]), (2, [REST | FLOW])])
def test_goes_on_after_resuming(make_runner, tmp_path, saved_at, expected):
    checkpoint = {'default_hooks': {'checkpoint': {'type': 'SafeCheckpointHook', 'interval': 1}}}
    make_runner(3, hooks=[freeze(2)], **checkpoint).train()
    recorder, saved = Recorder(), str(tmp_path / 'run' / f'iter_{saved_at}.pth')
    make_runner(3, hooks=[freeze(2), recorder], load_from=saved, resume=True, **checkpoint).train()
    assert recorder.trained == expected


def test_never_releases_what_the_model_froze_itself(make_runner):
    recorder = Recorder()
    runner = make_runner(2, hooks=[freeze(1), recorder])
    runner.model.backbone['flow'].bias.requires_grad_(False)
    runner.train()
    assert recorder.trained == [REST, REST | {'backbone.flow.weight'}]


def test_a_name_that_matches_nothing_is_an_error(make_runner):
    with pytest.raises(ConfigError, match=r"no parameter matches 'backbone\.flwo'; did you mean 'backbone\.flow'"):
        make_runner(1, hooks=[freeze(names=['backbone.flwo'])]).train()


def test_one_name_may_be_given_as_text():
    assert FreezeHook('backbone').names == ['backbone']


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_distributed_models_must_allow_for_frozen_parameters(one_process):
    check_allows_unused(MMDistributedDataParallel(nn.Linear(1, 1), find_unused_parameters=True))
    with pytest.raises(ConfigError, match='find_unused_parameters=True'):
        check_allows_unused(MMDistributedDataParallel(nn.Linear(1, 1)))
