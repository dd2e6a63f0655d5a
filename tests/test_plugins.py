import sys
import textwrap

import pytest

from vrtspike import plugins
from vrtspike.errors import ConfigError
from vrtspike.plugins import find_plugin, load_plugins, shipped_plugins
from vrtspike.registry import BACKBONES, FUSION_HEADS, REGISTRIES

HEAD = """
from torch import nn
from vrtspike.registry import FUSION_HEADS

@FUSION_HEADS.register_module()
class {name}(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, rgb, spike):
        return rgb
"""


def head(name: str = 'PluginHead') -> str:
    return HEAD.format(name=name)


@pytest.fixture(autouse=True)
def clean():
    """Forget what a test loads."""
    for registry in REGISTRIES:
        registry.import_from_location()
    before = [dict(registry.module_dict) for registry in REGISTRIES]
    modules = set(sys.modules)
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.module_dict.clear()
        registry.module_dict.update(entries)
    for name in set(sys.modules) - modules:
        if name.startswith(('vrtspike_plugins', 'installed_plugin')):
            del sys.modules[name]


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a file below a temporary folder and returns its path."""

    def make_file(relative: str, text: str):
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return make_file


def error_of(name) -> str:
    with pytest.raises(ConfigError) as caught:
        load_plugins([str(name)])
    return str(caught.value)


def entries() -> list[dict]:
    return [dict(registry.module_dict) for registry in REGISTRIES]


class TestFinding:
    def test_file(self, make):
        path = make('lone.py', head())
        (plugin,) = load_plugins([str(path)])
        assert (plugin.name, plugin.reference) == ('lone', str(path))
        assert 'PluginHead' in FUSION_HEADS

    @pytest.mark.parametrize('module', ['my-head/__init__.py', 'my-head/my_head.py'])
    def test_folder(self, make, module):
        path = make(module, head())
        load_plugins([str(path.parent)])
        assert 'PluginHead' in FUSION_HEADS

    def test_path_relative_to_the_working_directory(self, make, monkeypatch):
        path = make('here/__init__.py', head())
        monkeypatch.chdir(path.parent.parent)
        assert [plugin.reference for plugin in load_plugins(['./here', 'here'])] == [str(path.parent)] * 2

    def test_name_in_the_plugins_folder_from_anywhere(self, make, monkeypatch):
        make('repository/plugins/shipped/shipped.py', head())
        make('repository/plugins/notes/README.md', 'no module here')
        root = make('repository/setup.py', '').parent
        monkeypatch.setattr(plugins, 'PACKAGE', root / 'vrtspike')
        monkeypatch.chdir('/')
        assert list(shipped_plugins()) == ['shipped']
        (plugin,) = load_plugins(['shipped'])
        assert plugin.reference == 'shipped'
        assert 'PluginHead' in FUSION_HEADS

    def test_name_in_an_installed_wheel(self, make, monkeypatch):
        path = make('site-packages/vrtspike/.mim/plugins/wheeled/__init__.py', head())
        make('site-packages/plugins/stranger/__init__.py', '')
        monkeypatch.setattr(plugins, 'PACKAGE', path.parents[3])
        assert list(shipped_plugins()) == ['wheeled']
        assert find_plugin('wheeled').path == path

    def test_entry_point_of_an_installed_package(self, make, monkeypatch):
        package = make('site/installed_plugin/__init__.py', 'from . import head')
        make('site/installed_plugin/head.py', head())
        make(
            'site/installed_plugin-1.0.dist-info/entry_points.txt', '[vrtspike.plugins]\nfrom_pip = installed_plugin\n'
        )
        make(
            'site/installed_plugin-1.0.dist-info/METADATA',
            'Metadata-Version: 2.1\nName: installed_plugin\nVersion: 1.0',
        )
        monkeypatch.syspath_prepend(package.parents[1])
        assert [plugin.reference for plugin in load_plugins(['from_pip'])] == ['from_pip']
        assert 'PluginHead' in FUSION_HEADS

    def test_nothing_is_loaded_unless_named(self, make, monkeypatch):
        path = make('repository/plugins/shipped/shipped.py', 'raise RuntimeError')
        make('repository/setup.py', '')
        monkeypatch.setattr(plugins, 'PACKAGE', path.parents[2] / 'vrtspike')
        assert load_plugins([]) == []
        find_plugin('shipped')


class TestLoading:
    def test_twice_is_harmless(self, make):
        path = make('twice/__init__.py', head())
        load_plugins([str(path.parent), str(path.parent)])
        loaded = FUSION_HEADS.get('PluginHead')
        load_plugins([str(path.parent)])
        assert FUSION_HEADS.get('PluginHead') is loaded

    def test_modules_of_a_folder_import_each_other(self, make):
        make('parts/helper.py', 'WIDTH = 3')
        path = make('parts/parts.py', f'from .helper import WIDTH\n{head()}')
        load_plugins([str(path.parent)])
        assert 'PluginHead' in FUSION_HEADS

    def test_search_path_is_left_alone(self, make):
        before = list(sys.path)
        load_plugins([str(make('quiet.py', head()))])
        assert sys.path == before

    def test_namesakes_are_refused(self, make):
        load_plugins([str(make('one/same.py', head('FirstHead')))])
        second = make('two/same.py', head('SecondHead'))
        message = error_of(second)
        assert "two plugins are called 'same'" in message
        assert str(second) in message
        assert 'SecondHead' not in FUSION_HEADS


class TestErrors:
    def test_unknown_name_suggests_the_nearest(self, make, monkeypatch):
        path = make('repository/plugins/gated_fusion/__init__.py', '')
        make('repository/setup.py', '')
        monkeypatch.setattr(plugins, 'PACKAGE', path.parents[2] / 'vrtspike')
        message = error_of('gated_fusoin')
        assert "no plugin is called 'gated_fusoin'" in message
        assert "did you mean 'gated_fusion'?" in message

    def test_missing_path_suggests_its_neighbours(self, make):
        path = make('folder/one.py', '')
        assert "did you mean 'one.py'?" in error_of(path.with_name('on.py'))
        assert 'there is no folder' in error_of('/nowhere/at/all.py')

    def test_folder_without_a_module(self, make):
        path = make('empty/README.md', '')
        assert 'expected __init__.py or empty.py' in error_of(path.parent)

    @pytest.mark.parametrize(
        ('text', 'expected'),
        [
            ('import no_such_package_anywhere', "ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
            ('x = (', 'was never closed'),
            ('1 / 0', 'ZeroDivisionError: division by zero'),
        ],
    )
    def test_failing_import_leaves_no_trace(self, make, text, expected):
        before = entries()
        path = make('broken/__init__.py', f'{head()}\nfrom . import part')
        make('broken/part.py', f'{text}\n')
        message = error_of(path.parent)
        assert message.startswith(f"plugin 'broken' ({path}) cannot be imported: ")
        assert expected in message
        assert 'line 1' in message
        assert entries() == before
        assert not [name for name in sys.modules if name.startswith('vrtspike_plugins.broken')]

    def test_mended_plugin_loads(self, make):
        path = make('mended.py', f'{head()}\n1 / 0')
        error_of(path)
        path.write_text(head())
        load_plugins([str(path)])
        assert 'PluginHead' in FUSION_HEADS

    def test_taken_name_leaves_the_registries_as_they_were(self, make):
        load_plugins([str(make('first.py', head('TakenHead')))])
        before = entries()
        path = make('second.py', head('OtherHead') + head('TakenHead'))
        message = error_of(path)
        assert f"plugin 'second' ({path}) cannot be registered" in message
        assert "'TakenHead' of vrtspike_plugins.first already exists" in message
        assert entries() == before

    def test_forced_replacement_is_undone_too(self, make):
        load_plugins([str(make('first.py', head('TakenHead')))])
        before = entries()
        error_of(
            make('second.py', head('TakenHead').replace('register_module()', 'register_module(force=True)') + '1 / 0')
        )
        assert entries() == before

    def test_failing_entry_point_leaves_no_trace(self, make, monkeypatch):
        before = entries()
        package = make('site/installed_plugin/__init__.py', 'from . import head\n1 / 0')
        make('site/installed_plugin/head.py', head())
        make(
            'site/installed_plugin-1.0.dist-info/entry_points.txt', '[vrtspike.plugins]\nfrom_pip = installed_plugin\n'
        )
        monkeypatch.syspath_prepend(package.parents[1])
        assert "plugin 'from_pip' (module installed_plugin) cannot be imported" in error_of('from_pip')
        assert entries() == before
        assert 'installed_plugin.head' not in sys.modules

    def test_one_failing_plugin_keeps_those_before_it(self, make):
        good, bad = make('good.py', head('GoodHead')), make('bad.py', head('BadHead') + '1 / 0')
        with pytest.raises(ConfigError, match="plugin 'bad'"):
            load_plugins([str(good), str(bad)])
        assert 'GoodHead' in FUSION_HEADS
        assert 'BadHead' not in FUSION_HEADS

    def test_other_registries_keep_what_others_register_meanwhile(self, make):
        text = 'import sys\nfrom vrtspike.registry import BACKBONES\n'
        text += "BACKBONES.register_module(name='Outsider', module=sys.modules['test_outsider'].Outsider)\n1 / 0"
        outsider = type(sys)('test_outsider')
        outsider.Outsider = type('Outsider', (), {'__module__': 'test_outsider'})
        sys.modules['test_outsider'] = outsider
        error_of(make('meddler.py', text))
        assert 'Outsider' in BACKBONES.module_dict
        del sys.modules['test_outsider']
