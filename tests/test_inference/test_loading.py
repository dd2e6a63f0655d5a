from pathlib import Path

import pytest
import torch

from vrtspike.config import load_config
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.inference.loading import file_sha256, is_registered, load_restorer


def test_a_training_checkpoint_carries_its_network(checkpoint, network):
    model, config = load_restorer(checkpoint, device='cpu')
    assert config.model.type == 'SpikeRestorer'
    assert not model.training
    for name, value in network.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def resaved(checkpoint, tmp_path, **changes):
    loaded = torch.load(checkpoint, weights_only=True)
    path = tmp_path / 'changed.pth'
    torch.save({**loaded, **changes}, path)
    return path


def test_without_a_config_it_says_what_to_give(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match='contains no config'):
        load_restorer(resaved(checkpoint, tmp_path, meta={}))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("model = dict(type=__import__('os').getcwd())", 'more than plain values'),
        ('model = [x for x in ()]', 'more than plain values'),
        ('import os', 'more than plain values'),
        ('model = dict(', 'more than plain values'),
        ('iter = 3', 'has no model'),
        ('model = 3', 'has no model'),
        ("model = dict(type='SpikeRestorer')\nplugins = './evil.py'", r'needs the plugins \./evil\.py'),
        ("model = dict(type='SpikeRestorer')\nplugins = ['./evil.py']", r'needs the plugins \./evil\.py'),
    ],
)
def test_a_config_in_a_checkpoint_runs_nothing(checkpoint, tmp_path, text, message):
    with pytest.raises(CheckpointError, match=message):
        load_restorer(resaved(checkpoint, tmp_path, meta={'cfg': text}))


def test_a_config_of_another_network_is_checked(checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="SpikeRestorer takes no 'backbon'"):
        load_restorer(resaved(checkpoint, tmp_path, meta={'cfg': "model = dict(type='SpikeRestorer', backbon=1)"}))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('depths=[1000000000] * 8', 'more than plain values'),
        ('depths=[1000000000]', 'has the number 1000000000, but there are only'),
        ('embed_dims=[9000, 9000, 9000, 9000, 9000, 9000, 9000, 9000]', 'does not fit the network'),
    ],
)
def test_a_config_of_an_absurd_network_takes_no_memory(checkpoint, tmp_path, change, message):
    """The second network would have 30 billion weights."""
    text = torch.load(checkpoint, weights_only=True)['meta']['cfg']
    key = change.partition('=')[0]
    start = text.index(f'{key}=[')
    text = text[:start] + change + text[text.index(']', start) + 1 :]
    with pytest.raises(CheckpointError, match=message):
        load_restorer(resaved(checkpoint, tmp_path, meta={'cfg': text}))


@pytest.mark.parametrize('kind', ['evil.Net', 'evil', 'subprocess.Popen', 'evil::Net'])
def test_a_type_that_is_registered_nowhere_is_not_imported(checkpoint, tmp_path, monkeypatch, kind):
    (tmp_path / 'evil.py').write_text("raise SystemExit('this ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    nested = f"model = dict(type='SpikeRestorer', backbone=dict(type={kind!r}))"
    pipeline = (
        f"model = dict(type='SpikeRestorer')\nval_dataloader = dict(dataset=dict(pipeline=[dict(type={kind!r})]))"
    )
    for text in (f'model = dict(type={kind!r})', nested, pipeline):
        with pytest.raises(CheckpointError, match=f'names {kind}, which no registry has'):
            load_restorer(resaved(checkpoint, tmp_path, meta={'cfg': text}))


def test_a_scope_is_not_imported(checkpoint, tmp_path):
    text = "model = dict(type='SpikeRestorer', _scope_='evil')"
    with pytest.raises(CheckpointError, match='names evil, which no registry has'):
        load_restorer(resaved(checkpoint, tmp_path, meta={'cfg': text}))


def test_registered_parts_may_be_named_in_full():
    assert is_registered('SpikeRestorer')
    assert is_registered('vrtspike.models.restorer.SpikeRestorer')
    assert not is_registered('elsewhere.SpikeRestorer')


def test_other_weights_are_named(checkpoint, tmp_path, network):
    weights = dict(network.state_dict(), extra=torch.zeros(1))
    first = next(iter(weights))
    weights.pop(first)
    weights['backbone.conv_last.bias'] = torch.zeros(7)
    with pytest.raises(CheckpointError) as caught:
        load_restorer(resaved(checkpoint, tmp_path, state_dict=weights))
    for part in (f'1 missing ({first})', '1 not in the network (extra)', 'backbone.conv_last.bias (7,)'):
        assert part in str(caught.value)


def test_sha256_of_a_file(tmp_path):
    (tmp_path / 'abc').write_bytes(b'abc')
    assert file_sha256(tmp_path / 'abc') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


def test_a_misspelt_tiling_is_found_in_a_config():
    config = Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py'
    with pytest.raises(ConfigError, match=r"model\.tiling\.tiles: Tiling takes no 'tiles'; did you mean 'tile'"):
        load_config(config, overrides={'model.tiling.tiles': [5, 64, 64]})
