import sys
import textwrap

import pytest

from vrtspike.config import load_config, read_config
from vrtspike.errors import ConfigError


def error_of(path, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, **kwargs)
    return str(caught.value)


@pytest.fixture
def child(write, base):
    """Return a function that writes a config inheriting from the correct one."""

    def write_child(text: str, name: str = 'child.py'):
        return write("_base_ = ['./base.py']\n" + textwrap.dedent(text), name)

    return write_child


class TestReading:
    def test_inheritance(self, child):
        config = load_config(child('train_cfg = dict(max_iters=7)'))
        assert config.train_cfg == {'by_epoch': False, 'max_iters': 7, 'val_interval': 50}

    def test_missing_file_suggests_its_neighbours(self, base):
        message = error_of(base.with_name('bas.py'))
        assert 'no config file' in message
        assert "did you mean 'base.py'?" in message

    def test_missing_folder(self, tmp_path):
        assert 'contains no configs' in error_of(tmp_path / 'nowhere' / 'config.py')

    def test_folder_instead_of_file(self, tmp_path):
        assert 'is a folder' in error_of(tmp_path)

    def test_syntax_error_names_file_and_line(self, write):
        path = write('model = dict(\n    depth=[1, 2\n')
        assert f'({path}, line ' in error_of(path)

    def test_syntax_error_of_an_inherited_file_names_that_one(self, write, child):
        write('model = dict(', 'base.py')
        path = child('')
        message = error_of(path)
        assert message.startswith(f'{path} cannot be read')
        assert 'base.py, line 1' in message

    def test_exception_names_file_and_line(self, child):
        path = child('work_dir = "x"\ntrain_cfg = dict(max_iters=ITERS)')
        message = error_of(path)
        assert "NameError: name 'ITERS' is not defined" in message
        assert f'({path}, line 3)' in message
        assert '\n' not in message

    def test_missing_base_is_named(self, write):
        assert 'gone.py' in error_of(write("_base_ = ['./gone.py']"))

    def test_circular_inheritance(self, write):
        assert 'inherits from itself' in error_of(write("_base_ = ['./config.py']"))

    def test_two_bases_with_the_same_key(self, write, base):
        write('randomness = dict(seed=0)', 'other.py')
        assert 'Duplicate key' in error_of(write("_base_ = ['./base.py', './other.py']"))

    def test_dict_over_a_value_asks_for_delete(self, child):
        assert '_delete_=True' in error_of(child('default_scope = dict(a=1)'))

    def test_variables_of_the_file_leave_no_trace(self, child):
        config = load_config(child('_iterations = 9\ntrain_cfg = dict(max_iters=_iterations)'))
        assert config.train_cfg.max_iters == 9
        assert '_iterations' not in config

    def test_read_config_neither_overrides_nor_checks(self, write):
        config = read_config(write("anything = 3\ncpu_overrides = {'anything': 4}"))
        assert config.anything == 3
        assert 'cpu_overrides' in config

    def test_scope_is_ours_unless_stated(self, write, base):
        assert (
            load_config(write(base.read_text().replace("default_scope = 'vrtspike'", ''))).default_scope == 'vrtspike'
        )


class TestOverrides:
    def test_command_line_wins_over_cpu_overrides_and_file(self, base):
        config = load_config(base, cpu_overrides=True, overrides={'train_cfg.max_iters': 3})
        assert config.train_cfg.max_iters == 3
        assert config.train_dataloader.num_workers == 0

    def test_cpu_overrides_only_where_asked(self, base):
        config = load_config(base)
        assert config.train_cfg.max_iters == 100
        assert config.train_dataloader.num_workers == 4
        assert 'applied_cpu_overrides' not in config
        assert 'cpu_overrides' not in config

    def test_applied_cpu_overrides_are_recorded(self, base):
        config = load_config(base, cpu_overrides=True)
        assert config.applied_cpu_overrides == {'train_cfg.max_iters': 10, 'train_dataloader.num_workers': 0}
        assert 'cpu_overrides' not in config

    def test_dumped_config_reads_back_as_itself(self, base, tmp_path):
        config = load_config(base, cpu_overrides=True)
        config.dump(tmp_path / 'dumped.py')
        assert load_config(tmp_path / 'dumped.py').to_dict() == config.to_dict()

    def test_dumped_config_is_never_overridden_again(self, base, tmp_path):
        dumped = tmp_path / 'dumped.py'
        load_config(base, overrides={'train_cfg.max_iters': 77}).dump(dumped)
        assert load_config(dumped, cpu_overrides=True).train_cfg.max_iters == 77

    @pytest.mark.parametrize('key', ['model', 'model.backbone.depths'])
    @pytest.mark.parametrize('asked', [True, False])
    def test_cpu_overrides_never_touch_the_network(self, child, key, asked):
        message = error_of(child(f"cpu_overrides = {{'{key}': [1]}}"), cpu_overrides=asked)
        assert f"'{key}' would change the network" in message

    def test_cpu_overrides_of_another_kind(self, write):
        assert 'expected dotted keys and values, found 3' in error_of(write('cpu_overrides = 3'))

    def test_misspelt_override_is_reported_with_its_origin(self, base):
        message = error_of(base, overrides={'model.backbone.dephts': [1], 'train_cgf.max_iters': 3})
        assert (
            "model.backbone.dephts: Backbone takes no 'dephts'; did you mean 'depths'? (from --cfg-options)" in message
        )
        assert "train_cgf: no such top-level key; did you mean 'train_cfg'" in message
        assert message.count('(from --cfg-options)') == 2

    def test_misspelt_cpu_override_is_reported_with_its_origin(self, child):
        message = error_of(child("cpu_overrides = {'train_cfg.max_iter': 3}"), cpu_overrides=True)
        assert "did you mean 'max_iters'" in message
        assert '(from cpu_overrides)' in message

    def test_override_inside_a_value(self, base):
        message = error_of(base, overrides={'default_scope.x': 1})
        assert message.startswith("--cfg-options: 'default_scope.x' cannot be set to 1: default_scope is 'vrtspike'")

    def test_override_of_one_number_in_a_list(self, base):
        message = error_of(base, overrides={'train_cfg.max_iters': 3, 'model.backbone.depths.0': 1})
        assert "'model.backbone.depths.0' cannot be set" in message
        assert 'model.backbone.depths.0 is 2' in message

    def test_override_beyond_a_list(self, base):
        message = error_of(base, overrides={'param_scheduler.7.end': 3})
        assert 'give the whole value instead' in message

    def test_overrides_that_contradict_each_other(self, base):
        assert 'contradict each other' in error_of(base, overrides={'work_dir': 1, 'work_dir.x': 2})

    def test_override_in_a_list_of_parts(self, base):
        config = load_config(base, overrides={'train_dataloader.dataset.pipeline.0.probability': 0.2})
        assert config.train_dataloader.dataset.pipeline == [{'type': 'FakeFlip', 'probability': 0.2}]

    def test_delete_on_the_command_line_starts_a_part_afresh(self, base):
        config = load_config(base, overrides={'model.fusion._delete_': True, 'model.fusion.type': 'FakeGatedHead'})
        assert config.model.fusion == {'type': 'FakeGatedHead'}

    def test_overrides_are_left_as_they_were(self, base):
        overrides = {'train_cfg': {'_delete_': True, 'by_epoch': False, 'max_iters': 2}}
        assert load_config(base, overrides=overrides).train_cfg == {'by_epoch': False, 'max_iters': 2}
        assert overrides['train_cfg']['_delete_'] is True


class TestData:
    def test_data_reaches_every_clip_dataset_without_a_source(self, base):
        config = load_config(base)
        assert config.train_dataloader.dataset.source == {'type': 'FakeClips'}
        assert config.val_dataloader.dataset.dataset.source == {'type': 'FakeClips'}
        assert 'source' not in config.val_dataloader.dataset

    def test_own_source_is_kept(self, child):
        config = load_config(
            child("train_dataloader = dict(dataset=dict(source=dict(type='OtherFakeClips', root='/a')))")
        )
        assert config.train_dataloader.dataset.source == {'type': 'OtherFakeClips', 'root': '/a'}
        assert config.val_dataloader.dataset.dataset.source == {'type': 'FakeClips'}

    def test_one_line_switches_the_data(self, base):
        config = load_config(base, overrides={'data.type': 'OtherFakeClips', 'data.root': '/mine'})
        assert config.train_dataloader.dataset.source == {'type': 'OtherFakeClips', 'root': '/mine'}

    def test_data_of_a_dumped_config_can_still_be_switched(self, base, tmp_path):
        load_config(base).dump(tmp_path / 'dumped.py')
        config = load_config(tmp_path / 'dumped.py', overrides={'data.root': '/elsewhere'})
        assert config.train_dataloader.dataset.source.root == '/elsewhere'
        assert config.val_dataloader.dataset.dataset.source.root == '/elsewhere'

    def test_copies_are_independent(self, base):
        config = load_config(base)
        config.data.root = '/changed'
        assert 'root' not in config.train_dataloader.dataset.source

    def test_neither_data_nor_source(self, write, base):
        message = error_of(write(base.read_text().replace("data = dict(type='FakeClips')", '')))
        assert "train_dataloader.dataset: ClipDataset needs 'source'" in message


class TestReport:
    def test_every_problem_in_one_error_a_line_each(self, child):
        path = child("""
            model = dict(backbone=dict(windw=3), fusion=dict(type='FakeGatedHead'))
            default_hoks = dict()
        """)
        lines = error_of(path).splitlines()
        assert lines[0] == f'{path}: 3 problems'
        keys = [line.split(':')[0].strip() for line in lines[1:]]
        assert keys == ['model.backbone.windw', 'model.fusion.heads', 'default_hoks']

    def test_one_problem(self, child):
        assert error_of(child('crop = 3')).splitlines()[0].endswith(': one problem')


class TestPlugins:
    PLUGIN = textwrap.dedent("""
        from torch import nn
        from vrtspike.registry import BACKBONES

        @BACKBONES.register_module()
        class PluggedBackbone(nn.Module):
            def __init__(self, size=1):
                super().__init__()
    """)

    @pytest.fixture
    def plugin(self, tmp_path):
        from vrtspike.registry import BACKBONES

        path = tmp_path / 'plugged_for_loading.py'
        path.write_text(self.PLUGIN)
        yield path
        BACKBONES.module_dict.pop('PluggedBackbone', None)
        sys.modules.pop('vrtspike_plugins.plugged_for_loading', None)

    MODEL = "model = dict(backbone=dict(_delete_=True, type='PluggedBackbone', size=2))\n"

    def test_plugins_of_the_config_and_of_the_caller_are_recorded_from_anywhere(self, child, plugin, monkeypatch):
        monkeypatch.chdir(plugin.parent)
        path = child(self.MODEL)
        config = load_config(path, plugins=['plugged_for_loading.py'])
        assert config.plugins == [str(plugin)]
        config.dump(path.with_name('dumped.py'))
        monkeypatch.chdir('/')
        assert load_config(path.with_name('dumped.py')).model.backbone.size == 2

    def test_plugins_named_by_the_config(self, child, plugin):
        config = load_config(child(f'{self.MODEL}plugins = [{str(plugin)!r}]'))
        assert config.model.backbone.type == 'PluggedBackbone'

    def test_plugins_on_the_command_line_of_options(self, child, plugin):
        assert load_config(child(self.MODEL), overrides={'plugins': str(plugin)}).plugins == [str(plugin)]

    def test_plugins_of_another_kind(self, child):
        assert 'plugins: expected a list of names or paths, found 3' in error_of(child('plugins = 3'))
