import pytest
from torch import nn

from vrtspike.contracts import Contract, Registry, find, known_names
from vrtspike.errors import RegistryError


class Head(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.channels = channels

    def forward(self, rgb, spike):
        return rgb


class Wrong(nn.Module):
    def forward(self, rgb, voxel):
        return rgb


@pytest.fixture
def registry():
    """Return a registry of its own with a contract like the fusion heads'."""
    return Registry('head', 'vrtspike', Contract('rgb, spike -> rgb', ('rgb', 'spike'), ('channels',)))


@pytest.fixture
def child(registry):
    return Registry('inner head', 'vrtspike', Contract('runs', attributes=('run',)), registry)


class TestContract:
    contract = Contract('text', arguments=('rgb', 'spike'), attributes=('channels',))

    def test_kept(self):
        assert self.contract.violations(Head()) == []

    def test_every_violation_is_named(self):
        assert self.contract.violations(Wrong()) == ["no attribute 'channels'", "forward() takes no 'spike'"]

    @pytest.mark.parametrize('part', [object(), nn.Module()])
    def test_what_cannot_be_called(self, part):
        assert 'it cannot be called' in self.contract.violations(part)

    def test_variadic_arguments_take_anything(self):
        assert Contract('', arguments=('a', 'b')).violations(lambda *args: args) == []
        assert Contract('', arguments=('a', 'b')).violations(lambda **kwargs: kwargs) == []

    def test_functions_are_called_themselves(self):
        assert Contract('', arguments=('spikes',)).violations(lambda spikes: spikes) == []

    def test_no_arguments_asks_for_no_call(self):
        assert Contract('', attributes=('real',)).violations(3) == []


class TestRegistration:
    def test_taken_name_is_refused_and_nothing_registered(self, registry):
        registry.register_module(module=Head)
        with pytest.raises(
            RegistryError, match=r"'Head' of .*test_contracts already exists; give .*Wrong another name"
        ):
            registry.register_module(name=['Fresh', 'Head'], module=Wrong)
        assert registry.module_dict == {'Head': Head}

    def test_force_replaces(self, registry):
        registry.register_module(module=Head)
        registry.register_module(name='Head', force=True, module=Wrong)
        assert registry.get('Head') is Wrong

    def test_same_class_twice_is_harmless(self, registry):
        registry.register_module(module=Head)
        registry.register_module(module=Head)
        assert registry.names() == ['Head']

    def test_several_names(self, registry):
        registry.register_module(name=['A', 'B'], module=Head)
        assert registry.get('A') is registry.get('B') is Head

    def test_child_checks_the_class(self, child):
        with pytest.raises(RegistryError, match="inner head 'Head' breaks its contract: no attribute 'run'"):
            child.register_module(module=Head)
        assert child.module_dict == {}

    def test_child_takes_functions_unchecked(self, child):
        child.register_module(name='made', module=lambda: None)
        assert 'made' in child


class TestLookup:
    def test_unknown_name_suggests_the_nearest(self, registry):
        registry.register_module(name='CrossAttention', module=Head)
        with pytest.raises(RegistryError, match="no head is called 'CrosAttention'; did you mean 'CrossAttention'"):
            registry.get('CrosAttention')

    def test_module_names_are_no_parts(self, registry):
        with pytest.raises(RegistryError, match="no head is called 'json'"):
            registry.get('json')

    def test_membership(self, registry):
        registry.register_module(module=Head)
        assert 'Head' in registry
        assert 'Hed' not in registry

    def test_child_finds_and_suggests_names_of_its_parent(self, registry, child):
        registry.register_module(module=Head)
        assert child.get('Head') is Head
        assert known_names(child) == ['Head']
        assert child.names() == []
        with pytest.raises(RegistryError, match="did you mean 'Head'"):
            child.get('Heda')

    def test_errors_inside_the_package_are_not_unknown_names(self, tmp_path, monkeypatch):
        (tmp_path / 'a_broken_location.py').write_text("raise RuntimeError('inside')")
        monkeypatch.syspath_prepend(tmp_path)
        broken = Registry('head', 'a_broken_location', Contract(''))
        with pytest.raises(RuntimeError, match='inside'):
            broken.get('Head')

    def test_find_turns_every_kind_of_miss_into_one_error(self, registry):
        for miss in (lambda key: None, lambda key: pytest):
            with pytest.raises(RegistryError, match="no head is called 'x'"):
                find(miss, 'x', registry)


class TestBuilding:
    def test_part(self, registry):
        registry.register_module(module=Head)
        assert registry.build({'type': 'Head', 'channels': 8}).channels == 8

    def test_broken_contract_is_refused(self, registry):
        registry.register_module(module=Wrong)
        with pytest.raises(RegistryError, match=r"head 'Wrong' breaks its contract: .*Expected: rgb, spike -> rgb"):
            registry.build({'type': 'Wrong'})

    def test_unknown_type(self, registry):
        registry.register_module(module=Head)
        with pytest.raises(RegistryError, match="did you mean 'Head'"):
            registry.build({'type': 'Haed'})
