"""Losses."""

import math

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.models.losses import CharbonnierLoss
from vrtspike.registry import MODELS


def test_charbonnier_of_known_differences():
    loss = MODELS.build({'type': 'CharbonnierLoss', 'delta': 0.4, 'weight': 2.0})
    prediction, target = torch.tensor([0.3, 1.0]), torch.tensor([0.0, 1.0])
    assert loss(prediction, target).item() == pytest.approx(2 * (0.5 + 0.4) / 2)


def test_equal_frames_cost_delta_and_pull_nowhere():
    prediction = torch.rand(1, 2, 3, 4, 4, requires_grad=True)
    loss = CharbonnierLoss()(prediction, prediction.detach().clone())
    loss.backward()
    assert loss.item() == pytest.approx(1e-3)
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_gradients_are_those_of_the_formula():
    prediction = torch.rand(5, dtype=torch.float64, requires_grad=True)
    target = torch.rand(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: CharbonnierLoss(delta=0.1, weight=0.5)(x, target), prediction)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype):
    prediction = torch.full((4,), 2.0**-13, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        loss = CharbonnierLoss(delta=1e-4)(prediction, torch.zeros(4))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.hypot(2.0**-13, 1e-4), rel=1e-6)
    assert prediction.grad.isfinite().all()


def test_double_precision_is_kept():
    assert CharbonnierLoss()(torch.zeros(2, dtype=torch.float64), torch.zeros(2)).dtype == torch.float64


@pytest.mark.parametrize('argument', ['delta', 'weight'])
@pytest.mark.parametrize('value', [0, -1.0, '1e-4'])
def test_numbers_that_cannot_work_are_refused(argument, value):
    with pytest.raises(ConfigError, match=f'CharbonnierLoss: {argument}='):
        CharbonnierLoss(**{argument: value})


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ConfigError, match=r'prediction \(1, 5, 3, 8, 8\) and target \(1, 1, 3, 8, 8\) differ'):
        CharbonnierLoss()(torch.zeros(1, 5, 3, 8, 8), torch.zeros(1, 1, 3, 8, 8))
