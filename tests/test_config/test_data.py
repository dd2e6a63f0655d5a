"""The data of a config: switching sources, networks that read no spikes, data loaders without workers."""

import pytest

from vrtspike.config import load_config, read_config
from vrtspike.errors import ConfigError
from vrtspike.plugins import configs_folder

GOPRO = configs_folder() / 'vrt/006_vrt_videodeblurring_gopro.py'
TINY = configs_folder() / 'vrt_spike_tiny.py'


@pytest.fixture(scope='module', autouse=True)
def fakes():
    """Use the package's own parts, not the fakes of the neighbouring tests."""


def source_of(config):
    """Return the source of both data sets, which must be equal."""
    train, val = (config[f'{split}_dataloader'].dataset.source for split in ('train', 'val'))
    assert train == val == config.data
    return config.data.to_dict()


def test_another_source_drops_the_arguments_of_the_one_before(tmp_path):
    switched = load_config(GOPRO, overrides={'data.type': 'ProcessedClips', 'data.root': '/data'})
    assert source_of(switched) == {'type': 'ProcessedClips', 'root': '/data', 'spikes': False}
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = {str(GOPRO)!r}\ndata = dict(type='RGBClips', root='/data', blur='input')\n")
    assert source_of(load_config(child)) == {'type': 'RGBClips', 'root': '/data', 'blur': 'input'}
    grandchild = tmp_path / 'grandchild.py'
    grandchild.write_text("_base_ = './child.py'\n")
    assert source_of(load_config(grandchild)) == source_of(load_config(child))
    in_yaml = tmp_path / 'child.yaml'
    in_yaml.write_text(f'_base_: {GOPRO}\ndata: {{type: RGBClips, root: /data, blur: input}}\n')
    assert source_of(load_config(in_yaml)) == source_of(load_config(child))


def test_arguments_that_are_given_together_with_the_source_are_checked():
    with pytest.raises(ConfigError, match=r"data\.size: RGBClips takes no 'size'"):
        load_config(GOPRO, overrides={'data.type': 'RGBClips', 'data.size': 64})
    with pytest.raises(ConfigError, match=r"data\.frame: DemoClips takes no 'frame'"):
        load_config(GOPRO, overrides={'data.frame': 6})


def test_a_dumped_config_switches_its_source_too(tmp_path):
    load_config(GOPRO).dump(tmp_path / 'dumped.py')
    config = load_config(tmp_path / 'dumped.py', overrides={'data.type': 'RGBClips', 'data.root': '/data'})
    assert source_of(config) == {'type': 'RGBClips', 'root': '/data'}


@pytest.mark.parametrize('start', ['sdm', 'spikes'])
@pytest.mark.parametrize('kind', ['ProcessedClips', 'DemoClips', 'GoProSpike', 'X4KSpike'])
def test_a_network_without_fusion_reads_no_spikes(kind, start):
    overrides = {'data.type': kind, 'data.root': '/data', 'model.start': 'blur'}
    assert 'spikes' not in source_of(load_config(TINY, overrides=overrides))
    assert source_of(load_config(TINY, overrides={**overrides, 'model.fusion': None}))['spikes'] is False
    started = {**overrides, 'model.fusion': None, 'model.start': start}
    assert 'spikes' not in source_of(load_config(TINY, overrides=started))
    kept = load_config(TINY, overrides={**overrides, 'model.fusion': None, 'data.spikes': True})
    assert source_of(kept)['spikes'] is True


def test_a_student_without_fusion_reads_spikes_for_its_teacher():
    distillation = configs_folder() / 'recipes/distillation.py'
    assert 'spikes' not in source_of(load_config(distillation, overrides={'model.fusion': None}))


SHIPPED = [*configs_folder().glob('*.py'), *configs_folder().glob('[!_]*/*.py')]
WITH_DATA = [path for path in sorted(SHIPPED) if 'train_dataloader' in read_config(path)]


@pytest.mark.parametrize('path', WITH_DATA, ids=lambda path: path.stem)
def test_a_data_loader_without_workers_has_no_options_for_them(path):
    loaders = ('train_dataloader', 'val_dataloader')
    overrides = {f'{name}.num_workers': 0 for name in loaders} | {'train_dataloader.prefetch_factor': 4}
    config = load_config(path, overrides=overrides)
    for name in loaders:
        assert config[name].keys().isdisjoint({'persistent_workers', 'prefetch_factor'})
    assert load_config(path, overrides={f'{name}.num_workers': 2 for name in loaders}).val_dataloader.persistent_workers
