import numpy as np
import pytest

from vrtspike.datasets import write_spike_dat
from vrtspike.datasets.sources.description import describe_spikes
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import DataError

SPIKES = np.zeros((3, 8, 16), np.uint8)
CONFIG = '{spike_h: 8, spike_w: 16, threshold: 2, light: encoded, bit_order: big, flipped: false, interval: 3}'


@pytest.fixture
def spike(tmp_path):
    """A spike file of a data set in the processed layout, without a config.yaml."""
    folder = tmp_path / 'train' / 'street' / 'spike'
    folder.mkdir(parents=True)
    write_spike_dat(folder / '0.dat', SPIKES)
    return folder / '0.dat'


def test_the_config_of_the_data_set_describes_its_files(spike):
    (spike.parents[3] / 'config.yaml').write_text(CONFIG)
    for path in (spike, spike.parent):
        found = describe_spikes(path)
        assert (found.stored_size, found.size, found.threshold, found.light) == ((8, 16), (8, 16), 2.0, 'encoded')
        assert (found.layout, found.interval) == (SpikeLayout('big', False), 3)


def test_what_is_stated_wins(spike):
    (spike.parents[3] / 'config.yaml').write_text(CONFIG)
    stated = {'size': (4, 32), 'threshold': 1.5, 'light': 'linear', 'keep_columns': 30}
    found = describe_spikes(spike, **stated, layout=SpikeLayout(flipped=True))
    assert (found.stored_size, found.size, found.threshold, found.light) == ((4, 32), (4, 30), 1.5, 'linear')
    assert found.layout == SpikeLayout('big', True)


def test_an_array_knows_its_size(tmp_path):
    np.save(tmp_path / 'a.npy', SPIKES)
    found = describe_spikes(tmp_path / 'a.npy')
    assert (found.size, found.threshold, found.light) == ((8, 16), None, 'linear')


def test_an_unknown_size_and_wrong_values_are_named(spike):
    with pytest.raises(DataError, match=r'0\.dat does not contain its size.* as in --size 250 400'):
        describe_spikes(spike)
    with pytest.raises(DataError, match='keep_columns=17, expected 1 to the 16 columns'):
        describe_spikes(spike, size=(8, 16), keep_columns=17)
    config = spike.parent / 'config.yaml'
    config.write_text('{spike_h: 8, spike_w: 16, bit_order: middle}')
    with pytest.raises(DataError, match=r"config\.yaml: bit_order='middle' of spikes is unknown"):
        describe_spikes(spike)
    config.write_text('{spike_h: 8, spike_w: wide}')
    with pytest.raises(DataError, match="'spike_w' is 'wide'"):
        describe_spikes(spike)
