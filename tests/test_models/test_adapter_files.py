import pytest
import torch

from vrtspike.errors import CheckpointError
from vrtspike.models.adapter_files import merge_file
from vrtspike.models.weights import read_weights

WEIGHTS = {'qkv.base.weight': torch.eye(2), 'qkv.base.bias': torch.ones(2)}
FACTORS = {'qkv.lora_A.weight': torch.ones(1, 2), 'qkv.lora_B.weight': torch.ones(2, 1)}
MERGED = torch.eye(2) + 16


def test_a_file_of_weights_and_adapters(tmp_path):
    torch.save({'params': WEIGHTS | FACTORS}, tmp_path / 'a.pth')
    assert merge_file(tmp_path / 'a.pth', tmp_path / 'b.pth', alpha=16).names == ['qkv.weight']
    written = read_weights(tmp_path / 'b.pth')
    assert set(written) == {'qkv.weight', 'qkv.bias'}
    assert torch.equal(written['qkv.weight'], MERGED)


def test_adapters_alone_are_merged_with_a_network_without_the_restorers_prefix(tmp_path):
    torch.save({'qkv.weight': torch.eye(2), 'conv.weight': torch.zeros(1)}, tmp_path / 'base.pth')
    factors = {'backbone.qkv.lora_A': torch.ones(1, 2), 'backbone.qkv.lora_B': torch.ones(2, 1)}
    trained = {'backbone.qkv.lora_scale': torch.tensor(16.0), 'fusion.weight': torch.ones(3)}
    torch.save({'state_dict': factors | trained}, tmp_path / 'adapters.pth')
    merge_file(tmp_path / 'base.pth', tmp_path / 'out.pth', tmp_path / 'adapters.pth')
    written = read_weights(tmp_path / 'out.pth')
    assert set(written) == {'backbone.qkv.weight', 'backbone.conv.weight', 'fusion.weight'}
    assert torch.equal(written['backbone.qkv.weight'], MERGED)


def test_one_clear_error_and_nothing_written(tmp_path):
    path, out = tmp_path / 'a.pth', tmp_path / 'out.pth'
    torch.save(WEIGHTS, path)
    with pytest.raises(CheckpointError, match='contains no adapters'):
        merge_file(path, out)
    torch.save(WEIGHTS | FACTORS, path)
    with pytest.raises(CheckpointError, match='--lora-alpha 16'):
        merge_file(path, out)
    with pytest.raises(CheckpointError, match='is the checkpoint itself'):
        merge_file(path, path, alpha=16)
    assert not out.exists()
