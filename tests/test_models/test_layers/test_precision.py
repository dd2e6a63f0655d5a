"""Operators that compute in the type of their inputs under autocast."""

import pytest
import torch
from gpu_paths import take_gpu_paths

from vrtspike.errors import ConfigError
from vrtspike.models.layers.precision import check_flow_precision, in_computed_type, without_autocast


def test_autocast_is_off_inside_and_on_after_it():
    a, cpu = torch.rand(2, 2), torch.device('cpu')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        with without_autocast(cpu):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_the_meta_device_has_no_autocast_to_turn_off():
    with without_autocast(torch.device('meta')):
        assert (torch.rand(2, 2, device='meta') @ torch.rand(2, 2, device='meta')).dtype == torch.float32


def test_a_misspelt_precision_is_named():
    check_flow_precision('autocast')
    with pytest.raises(ConfigError, match=r"flow_precision='float23'.*did you mean 'float32'"):
        check_flow_precision('float23')


def test_maps_are_cast_before_they_are_joined_on_gpus_alone(monkeypatch):
    x = torch.randn(3)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert in_computed_type(x) is x
        take_gpu_paths(monkeypatch)
        assert torch.equal(in_computed_type(x), x.bfloat16())
    assert in_computed_type(x) is x
