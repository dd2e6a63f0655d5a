import json

import pytest
from tiny_networks import TINIER
from tool_processes import ROOT, run_tool


def count(*arguments):
    return run_tool('get_flops', 'configs/vrt_spike_tiny.py', *arguments, cwd=ROOT)


def test_counts_by_stage_as_json():
    result = count('--shape', '2', '16', '16', '--json', '-', '--cfg-options', *TINIER)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ['shape', 'total_gmacs', 'parameters', 'stages', 'uncounted_ops', 'elementwise_ops']
    assert found['shape'] == [2, 16, 16]
    assert {'stage1', 'fuse1', 'other'} <= set(found['stages'])
    assert all(list(cost) == ['gmacs', 'parameters', 'activations_m', 'mib'] for cost in found['stages'].values())
    assert sum(cost['gmacs'] for cost in found['stages'].values()) == pytest.approx(found['total_gmacs'])
    assert sum(cost['parameters'] for cost in found['stages'].values()) == found['parameters']
    assert found['uncounted_ops'] == {}


def test_a_shape_that_does_not_fit_is_one_error():
    result = count('--shape', '2', '17', '16')
    assert result.returncode == 1
    assert 'frames of 17x16 are no whole number of spike pixels' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('arguments', [['--spike-ratio', '0'], ['--spike-ratio', 'nan'], ['--shape', '0', '16', '16']])
def test_numbers_that_mean_nothing_are_refused(arguments):
    result = count(*arguments)
    assert result.returncode == 2
    assert 'expected a ' in result.stderr
    assert 'Traceback' not in result.stderr


PLUGIN = """
import torch
from torch import nn
from vrtspike.registry import FUSION_HEADS

@FUSION_HEADS.register_module()
class ReadsValues(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.mix = nn.Conv3d(channels, channels, 1)

    def forward(self, rgb, spike):
        return rgb + self.mix(spike) * max(self.rates) * (spike.abs().max() > 0).item()
"""


def test_a_plugin_that_reads_values_is_counted_for_a_small_clip(tmp_path):
    (tmp_path / 'reads_values.py').write_text(PLUGIN, encoding='utf-8')
    options = [*TINIER, 'model.fusion._delete_=True', 'model.fusion.type=ReadsValues', 'model.fusion_stages=[1]']
    plugin = ['--plugins', str(tmp_path / 'reads_values.py')]
    shape = ['--shape', '2', '720', '1280']
    result = count(*plugin, *shape, '--json', '-', '--cfg-options', *options)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found['shape'] == [2, 64, 64]
    assert found['stages']['fuse1']['gmacs'] == pytest.approx(8 * 8 * 2 * 64 * 64 / 1e9, rel=0.5)
    assert found['note'].startswith('the network needs values (ReadsValues (fusion.stage1): ')
