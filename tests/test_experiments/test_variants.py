"""Variants from the command line's files and from plugins."""

import pytest

from vrtspike.errors import ConfigError
from vrtspike.experiments.variants import REFERENCE, Variant, complete, plugin_variant, read_variants


def test_a_file_names_overrides_and_plugins(tmp_path):
    path = tmp_path / 'variants.yaml'
    path.write_text('a:\n  model.fusion: {type: X}\n  plugins: [p, q]\nb:\n')
    assert read_variants(path) == [Variant('a', {'model.fusion': {'type': 'X'}}, ('p', 'q')), Variant('b')]


@pytest.mark.parametrize('text', ['- a\n- b\n', 'a: 3\n', 'a: [\n', 'just words'])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / 'variants.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=r'variants\.yaml'):
        read_variants(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r'none\.yaml: No such file or directory'):
        read_variants(tmp_path / 'none.yaml')


def test_a_plugin_is_what_its_config_changes(tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'mine.py').write_text('')
    (folder / 'config.py').write_text("_base_ = 'x.py'\n_own = 1\nplugins = ['mine']\nmodel = dict(tsa=None)\n")
    assert plugin_variant(str(folder)) == Variant('mine', {'model': {'tsa': None}}, (str(folder),))


@pytest.mark.parametrize(('text', 'message'), [(None, 'has no config.py'), ('1 / 0', 'ZeroDivisionError')])
def test_a_plugin_that_does_not_say_what_it_changes_is_refused(tmp_path, text, message):
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'mine.py').write_text('')
    if text:
        (folder / 'config.py').write_text(text)
    with pytest.raises(ConfigError, match=message):
        plugin_variant(str(folder))


def test_the_reference_is_added_and_comes_first():
    own = Variant(REFERENCE, {'a': 1})
    assert complete([Variant('x')]) == [Variant(REFERENCE), Variant('x')]
    assert complete([Variant('x'), own]) == [own, Variant('x')]


def test_namesakes_are_refused():
    with pytest.raises(ConfigError, match="two variants are called 'x'"):
        complete([Variant('x'), Variant('x', {'a': 1})])


@pytest.mark.parametrize('name', ['', '..', 'a/b', 'a b'])
def test_a_name_must_be_a_folder(name):
    with pytest.raises(ConfigError, match='expected a folder name'):
        Variant(name)
