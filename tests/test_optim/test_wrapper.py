import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from vrtspike.benchmarking.training_step import training_step
from vrtspike.config import load_config
from vrtspike.optim import OptimWrapper, wrapper
from vrtspike.registry import OPTIM_WRAPPERS


@pytest.fixture
def hub():
    hub = MessageHub.get_current_instance()
    hub.log_scalars.pop('train/grad_norm', None)
    return hub


def steps(kind, count=3, **clip_grad):
    """Return the weights after some steps."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    wrapped = kind(torch.optim.AdamW(model.parameters(), lr=0.1), clip_grad=clip_grad or None)
    for i in range(count):
        wrapped.update_params(model(torch.full((2, 3), i + 1.0)).square().mean())
    return model.weight.detach()


def norms(hub):
    return hub.log_scalars['train/grad_norm'].data[0].tolist() if 'train/grad_norm' in hub.log_scalars else []


def test_it_clips_and_logs_as_mmengine_does(hub):
    expected = steps(MMEngineOptimWrapper, max_norm=0.5)
    expected_norms = norms(hub)
    hub.log_scalars.pop('train/grad_norm')
    assert torch.equal(steps(OptimWrapper, max_norm=0.5), expected)
    assert norms(hub) == expected_norms
    assert len(expected_norms) == 3


def test_values_are_clipped_without_a_norm(hub):
    assert torch.equal(
        steps(OptimWrapper, type='value', clip_value=0.1), steps(MMEngineOptimWrapper, type='value', clip_value=0.1)
    )
    assert norms(hub) == []


def test_a_norm_that_is_not_there_yet_is_logged_later(hub, monkeypatch):
    class Late(wrapper.Readback):
        """Arrives when the next one has begun."""

        made = []  # noqa: RUF012

        def __init__(self, tensor):
            super().__init__(tensor)
            self.made.append(self)

        def ready(self):
            return self is not self.made[-1]

    monkeypatch.setattr(wrapper, 'Readback', Late)
    steps(OptimWrapper, max_norm=0.5)
    assert norms(hub) == [each.values() for each in Late.made[:2]]


def test_configs_get_this_one_by_the_name_of_mmengine():
    with DefaultScope.overwrite_default_scope('vrtspike'):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
        assert type(OPTIM_WRAPPERS.build({'type': 'OptimWrapper', 'optimizer': optimizer})) is OptimWrapper


def test_gradients_of_several_iterations_are_added_in_place():
    step = training_step(load_config('configs/vrt_spike_tiny.py'), (1, 3, 32, 32), torch.device('cpu'))
    nn.init.normal_(step.model.backbone.conv_last.weight)  # zero at first, so that nothing before it has a gradient
    step.accumulate()
    first = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    memory, values = {name: g.data_ptr() for name, g in first.items()}, {name: g.clone() for name, g in first.items()}
    step.accumulate()
    second = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    assert {name: g.data_ptr() for name, g in second.items()} == memory
    torch.testing.assert_close(second, {name: 2 * g for name, g in values.items()}, rtol=1e-3, atol=1e-6)
    assert second['backbone.conv_first.weight'].any()
