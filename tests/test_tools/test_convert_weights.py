import torch
from tool_processes import run_tool


def test_there_and_back(tmp_path):
    weights = {'conv_first.weight': torch.rand(2, 3)}
    torch.save({'params': {f'module.{name}': tensor for name, tensor in weights.items()}}, tmp_path / 'a.pth')
    there = run_tool('convert_weights', 'a.pth', '--to', 'ours', '--out', 'b.pth', cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    assert there.stdout == 'wrote b.pth: 1 tensors, each equal to its original after conversion back\n'
    assert list(torch.load(tmp_path / 'b.pth')['state_dict']) == ['backbone.conv_first.weight']
    assert run_tool('convert_weights', 'b.pth', '--to', 'published', '--out', 'c.pth', cwd=tmp_path).returncode == 0
    torch.testing.assert_close(torch.load(tmp_path / 'c.pth'), {'params': weights})


def test_a_wrong_file_is_one_message(tmp_path):
    process = run_tool('convert_weights', 'absent.pth', '--to', 'ours', '--out', 'b.pth', cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr == 'error: checkpoint absent.pth does not exist or is not a file; check the path\n'
