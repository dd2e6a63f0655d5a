import torch
from tool_processes import run_tool


def test_the_alpha_is_asked_for_and_used(tmp_path):
    layer = {
        'qkv.base.weight': torch.eye(2),
        'qkv.lora_A.weight': torch.ones(1, 2),
        'qkv.lora_B.weight': torch.ones(2, 1),
    }
    torch.save(layer, tmp_path / '10_G.pth')
    arguments = ('merge_adapters', '10_G.pth', '--out', 'merged.pth')
    refused = run_tool(*arguments, cwd=tmp_path)
    assert refused.returncode == 1
    assert 'adapters of rank 1' in refused.stderr
    assert not (tmp_path / 'merged.pth').exists()
    process = run_tool(*arguments, '--lora-alpha', '3', cwd=tmp_path)
    assert process.stdout == 'wrote merged.pth: 1 tensors, 1 of them with an adapter merged\n', process.stderr
    assert torch.equal(torch.load(tmp_path / 'merged.pth')['state_dict']['qkv.weight'], torch.eye(2) + 3)
