import json
import sys
import types
from pathlib import Path

import pytest
from tool_processes import run_script

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / 'benchmarks/records/speed').glob('*.json'))


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_of_speed_follow_their_schema(path):
    jsonschema = pytest.importorskip('jsonschema')
    schema = json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(path.read_text(encoding='utf-8')), schema)


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    result = run_script(ROOT / 'benchmarks/vs_upstream.py', '--upstream', tmp_path)
    assert result.returncode == 1
    assert (
        result.stderr
        == f'error: --upstream {tmp_path}: no models/network_vrt.py there; give a clone of JingyunLiang/VRT\n'
    )


@pytest.mark.parametrize(
    'name',
    [
        'vs_upstream',
        'growth',
        'deform_conv_speed',
        'long_restore',
        'amp_overflow',
        'on_paper',
        'published_on_paper',
        'recompute',
    ],
)
def test_help_has_examples(name):
    result = run_script(ROOT / f'benchmarks/{name}.py', '--help')
    assert result.returncode == 0
    assert 'examples:' in result.stdout


def test_fused_attention_of_the_published_network_is_its_attention():
    import torch
    import vs_upstream

    class WindowAttention(torch.nn.Module):
        """What the published class has that its attention uses."""

        relative_position_index = torch.arange(9).view(3, 3) % 5
        relative_position_bias_table = torch.linspace(-2, 2, 10).view(5, 2)
        scale = 0.3

    class Network:
        __module__ = 'made_up_published_code'

    module = types.ModuleType(Network.__module__)
    module.WindowAttention = WindowAttention
    sys.modules[Network.__module__] = module
    try:
        vs_upstream.use_fused_attention(Network)
    finally:
        del sys.modules[Network.__module__]
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 2, 3, 5)  # four windows, two heads, three tokens
    mask = torch.randn(2, 3, 3)
    bias = WindowAttention.relative_position_bias_table[WindowAttention.relative_position_index].permute(2, 0, 1)
    for with_bias in (True, False):
        for used in (mask, None):
            scores = 0.3 * q @ k.transpose(-2, -1) + (bias if with_bias else 0)
            scores = scores if used is None else scores + mask.repeat(2, 1, 1)[:, None]
            expected = (scores.softmax(-1) @ v).transpose(1, 2).reshape(4, 3, 10)
            found = WindowAttention().attention(q, k, v, used, (4, 3, 10), relative_position_encoding=with_bias)
            torch.testing.assert_close(found, expected)
