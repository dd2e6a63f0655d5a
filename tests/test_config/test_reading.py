"""A config file that cannot be read is one error that says where."""

import pytest

from vrtspike.config.reading import read_config
from vrtspike.errors import ConfigError


def test_what_is_inherited_is_read_and_variables_are_left_out(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nb = dict(c=2, d=3)\n')
    (tmp_path / 'child.py').write_text("_base_ = 'base.py'\n_width = 4\nb = dict(c=_width)\n")
    assert read_config(tmp_path / 'child.py').to_dict() == {'a': 1, 'b': {'c': 4, 'd': 3}}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1\nb = = 2\n', r'invalid syntax \(.*wrong\.py, line 2\)'),
        ('a = 1\n\nb = 1 / 0\n', r'ZeroDivisionError: division by zero \(.*line 3\)'),
        ("_base_ = ['wrong.py']\n", 'it inherits from itself'),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / 'wrong.py').write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / 'wrong.py')


def test_a_syntax_error_is_found_in_the_parent(tmp_path):
    (tmp_path / 'base.py').write_text('a = (\n')
    (tmp_path / 'child.py').write_text("_base_ = 'base.py'\n")
    with pytest.raises(ConfigError, match=r'base\.py, line 1'):
        read_config(tmp_path / 'child.py')


def test_a_missing_file_suggests_its_siblings(tmp_path):
    (tmp_path / 'vrt_tiny.py').touch()
    with pytest.raises(ConfigError, match=r"did you mean 'vrt_tiny\.py'"):
        read_config(tmp_path / 'vrt_tny.py')
    with pytest.raises(ConfigError, match='is a folder; expected a config file'):
        read_config(tmp_path)
