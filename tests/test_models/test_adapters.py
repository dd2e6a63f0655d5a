import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_networks import TWO_BLOCKS

from vrtspike.errors import CheckpointError
from vrtspike.models import VRT, SpikeRestorer
from vrtspike.models.adapters import layers_with_adapters, merge_adapters, with_plain_adapters
from vrtspike.models.weights import load_exact, load_matching

RANK, ALPHA = 3, 12
QKV = 'stage1.residual_group1.blocks.0.attn.qkv_self'


@pytest.fixture(scope='module')
def plain():
    torch.manual_seed(0)
    return VRT(**TWO_BLOCKS).state_dict()


def adapted(plain, base='base', factor='lora_{}.weight', patterns=('qkv', 'proj')):
    """Return weights with adapters as other programs save them, and the same weights with the adapters merged."""
    found, merged = {}, {}
    for name, tensor in plain.items():
        layer, _, last = name.rpartition('.')
        is_adapted = tensor.ndim <= 2 and last in ('weight', 'bias') and any(p in layer for p in patterns)
        found[f'{layer}.{base}.{last}' if is_adapted and base else name] = merged[name] = tensor
        if is_adapted and last == 'weight':
            a, b = torch.randn(RANK, tensor.shape[1]), torch.randn(len(tensor), RANK)
            found |= {f'{layer}.{factor.format("A")}': a, f'{layer}.{factor.format("B")}': b}
            merged[name] = tensor + ALPHA / RANK * (b @ a)
    return found, merged


LAYOUTS = {
    's_vrt': dict(base='base', factor='lora_{}.weight'),
    'peft': dict(base='base_layer', factor='lora_{}.default.weight'),
    'ours': dict(base='', factor='lora_{}'),
}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('wrapped', ['', 'module.', 'base_model.model.', 'backbone.'])
def test_merged_and_unmerged_files_give_the_same_network(plain, layout, wrapped):
    unmerged, merged = adapted(plain, **LAYOUTS[layout])
    network = SpikeRestorer(backbone=VRT(**TWO_BLOCKS))
    report = load_matching(network, {wrapped + name: each for name, each in unmerged.items()}, lora_alpha=ALPHA)
    assert report.fresh == report.unused == report.adapted == []
    assert f'backbone.{QKV}.weight' in report.merged
    assert len(report.merged) == len(layers_with_adapters(with_plain_adapters(unmerged)))
    assert len(report.merged) + len(report.loaded) == len(plain)
    expected = VRT(**TWO_BLOCKS).eval()
    load_exact(expected, merged)
    torch.testing.assert_close(network.backbone.state_dict(), expected.state_dict(), rtol=0, atol=1e-6)
    clip = torch.rand(1, 2, 3, 8, 8)
    torch.testing.assert_close(network.eval().backbone(clip), expected(clip), rtol=0, atol=1e-6)


def test_a_scale_in_the_file_is_used(plain):
    unmerged, merged = adapted(plain)
    unmerged |= {
        f'{layer}.lora_scale': torch.tensor(ALPHA / RANK) for layer in layers_with_adapters(plain_of(unmerged))
    }
    network = VRT(**TWO_BLOCKS)
    load_exact(network, unmerged)
    torch.testing.assert_close(network.state_dict(), merged, rtol=0, atol=1e-6)


def plain_of(weights):
    return with_plain_adapters(weights)


def test_a_network_with_the_same_adapters_gets_them_unmerged(plain):
    weights = plain_of(adapted(plain)[0])
    merged = merge_adapters(weights, weights, ALPHA)
    assert merged.names == []
    assert merged.weights[f'{QKV}.lora_scale'] == ALPHA / RANK
    assert torch.equal(merged.weights[f'{QKV}.lora_A'], weights[f'{QKV}.lora_A'])


def test_adapters_of_another_rank_are_merged(plain):
    weights = plain_of(adapted(plain)[0])
    targets = {name: each[:1] if name.endswith('lora_A') else each for name, each in weights.items()}
    assert len(merge_adapters(weights, targets, ALPHA).names) == len(layers_with_adapters(weights))


def test_weights_without_adapters_keep_their_names():
    weights = {'head.base.weight': torch.zeros(2), 'x.base_layer.bias': torch.zeros(1)}
    assert with_plain_adapters(weights) == weights
    assert merge_adapters(weights).weights == weights


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'x.lora_B': None}, 'the adapter of x is damaged'),
        ({'x.lora_B': torch.zeros(4, 2)}, 'the adapter of x is damaged'),
        ({'x.lora_A': torch.zeros(())}, 'the adapter of x is damaged'),
        ({'x.weight': None}, r'an adapter of x but not its weight: .*tools/merge_adapters\.py'),
        ({'x.weight': torch.zeros(5, 4)}, r'the adapter of x is for \(4, 5\), its weight is \(5, 4\)'),
        ({'x.lora_scale': torch.zeros(2)}, 'the adapter of x is for'),
        ({'x.lora_scale': None}, 'adapters of rank 3 .* without their alpha: give it with --cfg-options lora_alpha=16'),
    ],
)
def test_adapters_that_cannot_be_merged_are_one_clear_error(change, message):
    shapes = {'x.weight': (4, 5), 'x.lora_A': (3, 5), 'x.lora_B': (4, 3), 'x.lora_scale': ()}
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()} | change
    with pytest.raises(CheckpointError, match=message):
        merge_adapters({name: each for name, each in weights.items() if each is not None})


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), rank=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_merged_layer_computes_the_sum_of_layer_and_adapter(rows, columns, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, a, b, x = (
        torch.randn(shape, generator=generator)
        for shape in ((rows, columns), (rank, columns), (rows, rank), (columns,))
    )
    weights = {'x.weight': weight, 'x.lora_A': a, 'x.lora_B': b}
    merged = merge_adapters(weights, alpha=2.0).weights
    assert list(merged) == ['x.weight']
    torch.testing.assert_close(merged['x.weight'] @ x, weight @ x + 2.0 / rank * (b @ (a @ x)), rtol=1e-4, atol=1e-4)
