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


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    (tmp_path / 'base.py').write_text('# 学习率\r\na = 1\r\n', encoding='utf-8-sig', newline='')
    (tmp_path / 'child.py').write_text("_base_ = './base.py'\r\nb = 2\r\n", encoding='utf-8-sig', newline='')
    assert read_config(tmp_path / 'child.py').to_dict() == {'a': 1, 'b': 2}


def test_another_encoding_is_named_with_the_file(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\n# 学习率\n', encoding='gbk')
    (tmp_path / 'child.py').write_text("_base_ = 'base.py'\n")
    with pytest.raises(ConfigError, match=r'base\.py is not UTF-8 text \(byte 0x.. in line 2\): save it'):
        read_config(tmp_path / 'child.py')


@pytest.mark.parametrize('name', ['lazy.py', 'child.py'])
def test_the_pure_python_style_is_named(tmp_path, name):
    (tmp_path / 'plain.py').write_text('a = 1\n')
    (tmp_path / 'lazy.py').write_text(
        'from mmengine.config import read_base\nwith read_base():\n    from .plain import *\n'
    )
    (tmp_path / 'child.py').write_text("_base_ = 'lazy.py'\n")
    with pytest.raises(ConfigError, match=r'lazy\.py is in the pure Python style .*inherit with _base_ ='):
        read_config(tmp_path / name)


def test_backslashes_of_windows_are_named(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = '..\\\\base.py'\n")
    with pytest.raises(ConfigError, match=r"child\.py inherits from .*: write the folders with '/'"):
        read_config(tmp_path / 'child.py')
    with pytest.raises(ConfigError, match=r"no config file .*; write the folders with '/'"):
        read_config('configs\\vrt.py')


def test_a_config_that_ends_the_process_is_an_error(tmp_path):
    (tmp_path / 'end.py').write_text('exit()\n')
    with pytest.raises(ConfigError, match='SystemExit'):
        read_config(tmp_path / 'end.py')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'contains NoneType, expected keys'),
        ('- 1', 'contains list, expected keys'),
        ('model: !!python/object/apply:os.getcwd []', 'is not valid YAML'),
    ],
)
def test_yaml_runs_no_code(tmp_path, content, message):
    (tmp_path / 'x.yaml').write_text(content)
    (tmp_path / 'child.py').write_text("_base_ = 'x.yaml'\n")
    for name in ('x.yaml', 'child.py'):
        with pytest.raises(ConfigError, match=message):
            read_config(tmp_path / name)


def test_a_value_that_cannot_be_saved_is_named(tmp_path):
    (tmp_path / 'x.py').write_text('a = dict(b=[1, lambda x: x])\n')
    with pytest.raises(ConfigError, match=r'x\.py: a\.b\.1: <function .* expected a number'):
        read_config(tmp_path / 'x.py')
