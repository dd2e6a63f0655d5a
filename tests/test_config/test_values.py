"""What a config accepts can be read back from what a training saves."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from vrtspike.config.reading import read_config
from vrtspike.config.values import expand_home, plain_values, read_saved_config
from vrtspike.errors import ConfigError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.from_regex(r'[a-z][a-z0-9.]{0,6}', fullmatch=True).filter(
    lambda key: key not in ('as', 'in', 'is', 'or', 'if')
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_saved_configs_are_read_back(value):
    values = plain_values({'a': value, 'b': {'c': [value]}})
    config = Config(values)
    assert read_saved_config(config.pretty_text) == config.to_dict() == values


@pytest.mark.parametrize('suffix', ['.py', '.json', '.yaml'])
def test_every_kind_of_file_is_read_back(tmp_path, suffix):
    values = {'a': [float('inf'), -float('inf'), 1e-7, None, True], 'b': {'c': 'x: [', 'd.e': '学习'}}
    Config(plain_values(values)).dump(tmp_path / f'saved{suffix}')
    assert read_config(tmp_path / f'saved{suffix}').to_dict() == values


def test_nan_is_read_back(tmp_path):
    config = Config(plain_values({'a': float('nan')}))
    config.dump(tmp_path / 'saved.py')
    for found in (read_config(tmp_path / 'saved.py'), read_saved_config(config.pretty_text)):
        assert str(found['a']) == "float('nan')"


@pytest.mark.parametrize(
    ('value', 'plain'),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (torch.tensor([1.5]), [1.5]),
        (Path('a/b'), 'a/b'),
        (range(3), [0, 1, 2]),
        (torch.nn.L1Loss, 'torch.nn.modules.loss.L1Loss'),
        (os.path.join, 'posixpath.join'),
    ],
)
def test_other_values_become_plain_ones(value, plain):
    found = plain_values({'a': (value,)})['a'][0]
    assert (found, type(found)) == (plain, type(plain))


@pytest.mark.parametrize(
    'value', [lambda x: x, {1}, b'x', 1j, torch.float16, object(), functools.partial(max, 1), slice(2), os]
)
def test_the_keys_of_all_others_are_named(value):
    with pytest.raises(ConfigError, match=r'^a\.0\.b: .* which a saved config cannot contain') as caught:
        plain_values({'a': [{'b': value}], 'c': {'d': value}})
    assert '\n  c.d: ' in str(caught.value)


@pytest.mark.parametrize('key', ['class', "it's", 'a\\b', True, None, 1.5])
def test_a_key_that_mmengine_cannot_write_is_refused(key):
    with pytest.raises(ConfigError, match='cannot be a key'):
        plain_values({'a': {key: 1}})


def test_the_home_folder_is_inserted_at_the_beginning_of_texts_and_paths(monkeypatch):
    monkeypatch.setenv('HOME', '/folder/of/someone')
    assert expand_home(['~/x', Path('~/y'), 'a~/z', '~no-such-user/x', 3]) == [
        '/folder/of/someone/x',
        Path('/folder/of/someone/y'),
        'a~/z',
        '~no-such-user/x',
        3,
    ]
    assert plain_values({'data': {'root': '~'}}) == {'data': {'root': '/folder/of/someone'}}


@pytest.mark.parametrize(
    'text',
    [
        "a = __import__('os').getcwd()",
        "a = float('inf'.upper())",
        "a = float(x='inf')",
        "a = dict(**{'b': open('x')})",
        'a = [x for x in ()]',
        'a = b',
        'a.b = 1',
        'import os',
        'a = (',
        f'a = {"[" * 5000}',
        f'a = {"-" * 100_000}1',
        f'a = {"[" * 80}{"]" * 80}'.replace('[', 'dict(b=').replace(']', ')') + '; del a',
    ],
)
def test_a_saved_config_runs_nothing(text):
    with pytest.raises(ValueError, match=r'calls|Error|malformed'):
        read_saved_config(text)
