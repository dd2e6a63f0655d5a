import pytest
import yaml

from vrtspike.datasets.simulation.joining import METADATA, join_data_set, require_free, require_same, write_yaml
from vrtspike.errors import ConfigError, DataError


@pytest.mark.parametrize('name', ['a/b', '..', '.hidden', ''])
def test_names_that_leave_or_hide_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match='expected a folder name that does not begin with a dot'):
        require_free(tmp_path, 'train', name)


def test_a_split_is_train_or_val(tmp_path):
    with pytest.raises(ConfigError, match="split='test', expected 'train' or 'val'"):
        require_free(tmp_path, 'test', 'street')


def test_a_sequence_is_in_one_split_only(tmp_path):
    (tmp_path / 'val/street').mkdir(parents=True)
    require_free(tmp_path, 'val', 'street')
    with pytest.raises(DataError, match='a sequence is in one split only'):
        require_free(tmp_path, 'train', 'street')


def test_another_simulation_of_the_same_name_is_refused(tmp_path):
    write_yaml(tmp_path / METADATA, {'seed': 0, 'noise': 0.1})
    require_same(tmp_path, {'seed': 0})
    with pytest.raises(DataError, match='seed: found 0, expected 1'):
        require_same(tmp_path, {'seed': 1, 'noise': 0.1})


def test_the_first_sequence_writes_the_config_and_the_others_must_fit(tmp_path):
    join_data_set(tmp_path, {'spike_h': 4, 'threshold': 1.0})
    assert yaml.safe_load((tmp_path / 'config.yaml').read_text()) == {'spike_h': 4, 'threshold': 1.0}
    join_data_set(tmp_path, {'spike_h': 4, 'threshold': 1.0})
    with pytest.raises(DataError, match='spike_h: found 4, expected 8'):
        join_data_set(tmp_path, {'spike_h': 8, 'threshold': 1.0})
    assert yaml.safe_load((tmp_path / 'config.yaml').read_text())['spike_h'] == 4


def test_light_and_interval_must_fit_too(tmp_path):
    join_data_set(tmp_path, {'spike_h': 4, 'light': 'encoded'})
    with pytest.raises(DataError, match='light: found encoded, expected linear'):
        join_data_set(tmp_path, {'spike_h': 4})
    with pytest.raises(DataError, match=r'interval: found None, expected 12.*correct that file'):
        join_data_set(tmp_path, {'spike_h': 4, 'light': 'encoded', 'interval': 12})
