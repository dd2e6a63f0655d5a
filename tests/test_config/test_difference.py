import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from vrtspike.config.difference import WIDTH, child_text, code, difference

names = st.text('abc', min_size=1, max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text('ab "\'\n', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
nodes = st.dictionaries(names, values, max_size=4)


@given(values)
def test_code_evaluates_to_the_value(value):
    assert eval(code(value)) == value


@given(st.lists(st.integers(0, 10**6), max_size=60))
def test_lines_are_short_where_possible(value):
    assert all(len(line) <= WIDTH for line in code(value).splitlines())


@pytest.mark.parametrize(
    ('base', 'changed', 'expected'),
    [
        ({'a': 1, 'b': 2}, {'a': 1, 'b': 3}, {'b': 3}),
        ({'a': {'x': 1, 'y': 2}}, {'a': {'x': 1, 'y': 5}}, {'a': {'y': 5}}),
        ({'a': {'x': 1, 'y': 2}}, {'a': {'x': 1}}, {'a': {'_delete_': True, 'x': 1}}),
        ({'a': [1, {'b': 2}]}, {'a': (1, {'b': 2})}, {}),
        ({'a': {'b': 1}}, {'a': None}, {'a': None}),
    ],
)
def test_what_a_child_has_to_say(base, changed, expected):
    assert difference(base, changed) == expected


@settings(max_examples=30, deadline=None)
@given(base=nodes, changed=nodes)
def test_a_child_that_inherits_becomes_the_changed_config(tmp_path_factory, base, changed):
    folder = tmp_path_factory.mktemp('configs')
    changed = {**base, **changed}  # a child cannot take out keys of the top level
    (folder / 'base.py').write_text('\n'.join(f'{key} = {code(value)}' for key, value in base.items()))
    (folder / 'child.py').write_text(child_text('./base.py', difference(base, changed), 'A child.'))
    merged = Config.fromfile(str(folder / 'child.py'), lazy_import=False)._cfg_dict.to_dict()
    assert merged == changed
