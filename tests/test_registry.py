import logging

import mmengine.registry as mmengine
import mmengine.runner
import pytest
import torch
from mmengine.registry import DefaultScope

from vrtspike import registry
from vrtspike.contracts import Registry
from vrtspike.errors import RegistryError


def named() -> dict[str, Registry]:
    return {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}


def test_every_registry_is_listed():
    assert set(named().values()) == set(registry.REGISTRIES)
    assert len(registry.REGISTRIES) == len(named())


def test_names_tell_registries_apart():
    assert len({each.name for each in registry.REGISTRIES}) == len(registry.REGISTRIES)


@pytest.mark.parametrize('name', sorted(named()))
def test_each_has_a_contract_and_a_place_for_its_parts(name):
    each = named()[name]
    assert each.contract.text
    assert each._locations
    assert all(isinstance(part, str) for part in each.names())


def test_children_of_mmengine_are_found_by_scope():
    children = [each for each in registry.REGISTRIES if each.parent is not None]
    assert registry.MODELS in children
    assert registry.BACKBONES not in children
    for child in children:
        assert child.root.children['vrtspike'] is child


def test_parts_of_mmengine_are_found():
    assert registry.HOOKS.get('CheckpointHook') is mmengine.HOOKS.get('CheckpointHook')
    assert registry.LOOPS.get('ValLoop') is mmengine.runner.ValLoop
    with pytest.raises(RegistryError, match=r"did you mean .*'CheckpointHook'"):
        registry.HOOKS.get('ChekpointHook')


def test_parts_of_mmengine_keep_the_contracts():
    """A contract that MMEngine's own parts break would refuse children of them."""
    for each in registry.REGISTRIES:
        for part in (each.parent.module_dict if each.parent is not None else {}).values():
            if isinstance(part, type):
                assert each.contract.attributes_missing_from(part) == []


def test_runner_finds_optimizers_and_schedulers_without_complaint(caplog):
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    with DefaultScope.overwrite_default_scope('vrtspike'), caplog.at_level(logging.WARNING):
        optimizer = mmengine.OPTIMIZERS.build({'type': 'AdamW', 'params': parameters})
        mmengine.PARAM_SCHEDULERS.build({'type': 'ConstantLR', 'optimizer': optimizer})
        mmengine.VISBACKENDS.build({'type': 'LocalVisBackend', 'save_dir': 'unused'})
    assert 'Failed to search registry' not in caplog.text
