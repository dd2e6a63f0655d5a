import numpy as np
import pytest
import torch
from shipped_networks import SUMMARY, ship

import vrtspike
from vrtspike.datasets import write_demo
from vrtspike.datasets.io.video import ImageFolder
from vrtspike.datasets.spike_dat import read_spike_dat
from vrtspike.errors import CheckpointError, ConfigError, DataError
from vrtspike.inference.shipped import shipped_network
from vrtspike.metrics.restoration import finite_psnr
from vrtspike.records.model_card import card_path

MOST_BYTES = 4_000_000


@pytest.fixture
def network_file(monkeypatch, checkpoint, tmp_path):
    """A small network in place of the one in the package."""
    return ship(monkeypatch, checkpoint, tmp_path)


def test_its_card_is_checked_against_the_file(network_file):
    path, card = shipped_network()
    assert (path, card.summary()) == (network_file, SUMMARY)


def test_a_changed_file_is_refused(network_file):
    content = bytearray(network_file.read_bytes())
    content[-1] ^= 1
    network_file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'deblur\.pth was changed or is damaged: SHA-256 .*, expected'):
        shipped_network()


def test_a_missing_file_is_named(network_file):
    network_file.unlink()
    with pytest.raises(CheckpointError, match=r'deblur\.pth does not exist.* or name a checkpoint'):
        shipped_network()


def test_a_missing_card_is_named(network_file):
    card_path(network_file).unlink()
    with pytest.raises(CheckpointError, match=r'deblur\.json'):
        shipped_network()


def test_restoring_without_a_checkpoint_uses_it_and_says_so(network_file, checkpoint, clip, monkeypatch):
    said = []
    monkeypatch.setattr('vrtspike.inference.restoring.print_log', lambda text, logger: said.append((text, logger)))
    restored = vrtspike.restore(*clip, device='cpu')
    assert said == [(SUMMARY, 'current')]
    np.testing.assert_array_equal(restored, vrtspike.restore(*clip, checkpoint, device='cpu'))
    assert len(said) == 1


def test_it_asks_for_spikes(network_file, clip):
    with pytest.raises(DataError, match='this network needs spikes'):
        vrtspike.restore(clip[0], None)


def test_a_config_needs_its_checkpoint(network_file, clip):
    with pytest.raises(ConfigError, match=r"config='a\.py' needs the checkpoint of its network"):
        vrtspike.restore(*clip, config='a.py')


class TestThePackage:
    def test_its_file_is_small_and_needs_no_code(self):
        path, card = shipped_network()
        assert path.stat().st_size <= MOST_BYTES
        loaded = torch.load(path, weights_only=True)
        assert list(loaded) == ['state_dict', 'meta']
        assert loaded['meta']['iter'] == card.iterations

    def test_it_restores_a_held_out_clip(self, tmp_path):
        demo = write_demo(tmp_path / 'demo', train_clips=0, val_clips=1, progress=False)
        (folder,) = (demo / 'val').iterdir()
        blurred, sharp = (ImageFolder(folder / kind).read(0, 5) for kind in ('blur', 'sharp'))
        spikes = np.stack([read_spike_dat(path, 64, 64) for path in sorted((folder / 'spike').glob('*.dat'))])
        restored = vrtspike.restore(blurred, spikes, device='cpu')
        assert finite_psnr(restored, sharp) > finite_psnr(blurred, sharp) + 3.5
