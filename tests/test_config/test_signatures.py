import collections
import inspect
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vrtspike.config.signatures import keys_of


class Base:
    def __init__(self, width, depth=2):
        pass


class Through(Base):
    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)


class Deeper(Through):
    def __init__(self, *, window=8, **kwargs):
        super().__init__(heads=4, **kwargs)


class ByPosition(Base):
    def __init__(self, first, *args, **kwargs):
        super().__init__(first, *args, **kwargs)


class Surplus(ByPosition):
    def __init__(self, *args, **kwargs):
        super().__init__(1, 2, *args, **kwargs)


class Swallows(Base):
    def __init__(self, heads=1, **kwargs):
        super().__init__(8)
        self.options = kwargs


class Takes(Base):
    def __init__(self, **kwargs):
        kwargs.pop('colour', None)
        super().__init__(**kwargs)


class Network(nn.Module):
    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)


class Mixin:
    def __init__(self, mixed=1, **kwargs):
        super().__init__(**kwargs)


class Mixed(Mixin, Base):
    pass


def test_own_constructor():
    keys = keys_of(Base)
    assert (keys.names, keys.required, keys.any_key_of) == (('width', 'depth'), ('width',), '')


def test_kwargs_lead_to_the_base():
    assert keys_of(Through).names == ('heads', 'width', 'depth')
    assert keys_of(Through).required == ('heads', 'width')


def test_what_a_subclass_passes_by_key_is_taken():
    assert keys_of(Deeper).names == ('window', 'width', 'depth')
    assert keys_of(Deeper).required == ('width',)


def test_what_a_subclass_passes_by_position_is_taken():
    assert keys_of(ByPosition).names == ('first', 'depth')
    assert keys_of(Surplus).names == ()


def test_method_resolution_order_is_followed():
    assert keys_of(Mixed).names == ('mixed', 'width', 'depth')


@pytest.mark.parametrize('part', [Swallows, Takes])
def test_kwargs_used_for_anything_else_cannot_be_followed(part):
    assert keys_of(part).any_key_of == part.__name__


def test_torch_modules_end_the_walk():
    assert keys_of(Network).names == ('channels',)
    assert keys_of(Network).any_key_of == ''
    assert keys_of(nn.Module).names == ()


def test_class_without_constructor_takes_nothing():
    assert keys_of(type('Empty', (), {})).names == ()


def test_class_built_by_new():
    assert keys_of(collections.namedtuple('Point', 'x y')).names == ('x', 'y')


def test_function():
    def collate(batch, pad=0, **options):
        pass

    keys = keys_of(collate)
    assert (keys.names, keys.required, keys.any_key_of) == (('batch', 'pad'), ('batch',), 'collate')


def test_builtin_without_signature_takes_any_key():
    assert keys_of(dict).any_key_of == 'dict'


def test_source_that_is_not_there_cannot_be_followed():
    scope = {'Base': Base}
    exec('class Made(Base):\n    def __init__(self, **kwargs):\n        super().__init__(**kwargs)', scope)
    assert keys_of(scope['Made']).any_key_of == 'Made'


def test_parameter_schedulers_of_mmengine():
    from mmengine.optim import CosineAnnealingLR

    keys = keys_of(CosineAnnealingLR)
    assert {'optimizer', 'T_max', 'eta_min', 'begin', 'end', 'by_epoch'} <= set(keys.names)
    assert 'param_name' not in keys.names
    assert keys.required == ('optimizer',)


NAMES = st.lists(
    st.from_regex(r'[a-z]{1,6}', fullmatch=True).filter(lambda name: not keyword.iskeyword(name)),
    unique=True,
    max_size=6,
)


@given(names=NAMES, required=st.integers(0, 6))
def test_plain_functions_agree_with_inspect(names, required):
    kinds = inspect.Parameter
    parameters = [
        kinds(name, kinds.KEYWORD_ONLY, default=kinds.empty if index < required else None)
        for index, name in enumerate(names)
    ]

    def part(**kwargs):
        pass

    part.__signature__ = inspect.Signature(parameters)
    keys = keys_of(part)
    assert keys.names == tuple(names)
    assert keys.required == tuple(names[:required])
