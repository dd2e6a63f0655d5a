"""The time of a forward pass by kind of operator."""

import json

import operator_times
import pytest
import torch
import vs_upstream
from test_speed import ROOT
from tool_processes import run_script

SMALL = dict(
    upscale=1,
    img_size=[6, 16, 16],
    window_size=[6, 8, 8],
    depths=[2] * 7 + [1],
    indep_reconsts=[],
    embed_dims=[8] * 8,
    num_heads=[2] * 8,
    pa_frames=2,
    deformable_groups=2,
)


def test_every_operator_counts_once_in_its_kind():
    times = [('aten::addmm', 4.0), ('mkldnn::_linear_pointwise', 3.0), ('aten::mm', 2.0), ('aten::copy_', 1.0)]
    times += [('vrtspike::window_attention', 5.0), ('vrtspike::gate', 0.5), ('vrtspike::flow_offsets', 0.25)]
    times += [('aten::mkldnn_convolution', 6.0), ('aten::add', 0.125), ('stage1 forward', 8.0), ('aten::convert', 1.0)]
    found = operator_times.by_kind(times)
    assert found['matrix products'] == 9
    assert found['window attention'] == 5
    assert found['convolutions'] == 6
    assert found['norms and gates'] == 0.5
    assert found['sums of maps'] == 0.125
    assert found['other element-wise'] == 0.25
    assert found['copies'] == 1
    assert found['the rest'] == 9
    assert sum(found.values()) == sum(ms for _, ms in times)


def test_a_network_is_profiled_in_both_precisions(tmp_path, monkeypatch, capsys):
    record = tmp_path / 'record.json'
    monkeypatch.setattr(vs_upstream, 'CONFIG', SMALL)
    monkeypatch.setattr('sys.argv', ['operator_times.py', '--size', '16', '--rounds', '1', '--json', str(record)])
    monkeypatch.setattr('vrtspike.native.allocator.allocate_tensors_with_malloc', lambda: True)  # not in this process
    operator_times.main()
    found = json.loads(record.read_text())
    assert [row['precision'] for row in found['rows']] == ['float32', 'bfloat16']
    for row in found['rows']:
        assert row['ms']['matrix products'] > 0
        assert row['ms']['convolutions'] > 0
    assert capsys.readouterr().out.count('window attention') == 2
    assert torch.is_grad_enabled()


@pytest.mark.parametrize('name', ['size', 'frames', 'rounds'])
def test_numbers_below_one_are_refused(name):
    result = run_script(ROOT / 'benchmarks/operator_times.py', f'--{name}', '0')
    assert result.returncode == 2
    assert f'--{name} is at least 1' in result.stderr
