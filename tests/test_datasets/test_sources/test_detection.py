import shutil

import pytest

from vrtspike.datasets import detect_source
from vrtspike.datasets.sources.detection import detect_type
from vrtspike.errors import ConfigError, DataError, RegistryError
from vrtspike.testing.data_sets import write_gopro, write_recordings, write_rgb, write_x4k

WRITERS = {
    'GoProSpike': (write_gopro, {'spike_size': (32, 32)}),
    'X4KSpike': (write_x4k, {}),
    'RGBClips': (write_rgb, {}),
    'SpikeCVRecording': (write_recordings, {'steps_per_frame': 40}),
}


@pytest.mark.parametrize('name', WRITERS)
def test_every_layout_is_told_by_its_folders(tmp_path, name):
    write, options = WRITERS[name]
    root = write(tmp_path / 'data', frames=1)
    source = detect_source(root, options)
    assert type(source).__name__ == name
    assert source.sequences('val')


def test_the_processed_layout_is_told_by_its_spikes(tiny_demo):
    assert detect_type(tiny_demo) == 'ProcessedClips'


def test_a_named_type_wins(tiny_demo):
    assert type(detect_source(tiny_demo, {'type': 'RGBClips'})).__name__ == 'RGBClips'


def test_options_of_the_layout_are_taken_and_others_refused(tiny_demo):
    options = {'image_suffix': '.png', 'val': 'train'}
    assert detect_source(tiny_demo, options).sequences('val')[0].name == '000_astronaut'
    with pytest.raises(ConfigError, match="ProcessedClips takes no 'image_sufix'; did you mean 'image_suffix'"):
        detect_source(tiny_demo, {'image_sufix': '.png'})


def test_unknown_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match='has no known layout'):
        detect_source(tmp_path, {})
    with pytest.raises(DataError, match='does not exist'):
        detect_source(tmp_path / 'none', {})
    with pytest.raises(RegistryError, match="did you mean 'GoProSpike'"):
        detect_source(tmp_path, {'type': 'GoProSpikes'})


def test_one_split_is_enough(tiny_copy):
    shutil.rmtree(tiny_copy / 'train')
    assert detect_type(tiny_copy) == 'ProcessedClips'
