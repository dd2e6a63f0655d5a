import copy

import pytest
import torch
from tiny_networks import TWO_BLOCKS, awake
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.models import VRT, SpikeRestorer, TemporalSelfAttention
from vrtspike.models.lora import LoRA, LoRALinear, adapt, adapted_layers, merge, trained_state, unmerge
from vrtspike.models.weights import load_exact, load_matching

ATTENTION = ('*.qkv_self', '*.qkv_mut', '*.attn.proj')
CLIP = (1, 2, 3, 8, 8)


def awake_adapters(model):
    for _, layer in adapted_layers(model):
        nn.init.normal_(layer.lora_B, std=0.1)
    return model


@pytest.fixture
def adapted():
    torch.manual_seed(0)
    model = awake(VRT(**TWO_BLOCKS)).eval()
    adapt(model, LoRA([*ATTENTION, '*.fc2', '*.fc11'], rank=3, alpha=6, trained=['conv_last']))
    return awake_adapters(model)


def test_an_adapted_network_begins_as_the_network():
    model = VRT(**TWO_BLOCKS).eval()
    before, clip = model(clip := torch.rand(CLIP)), clip
    adapt(model, LoRA(ATTENTION))
    assert torch.equal(model(clip), before)


def test_merging_and_unmerging_are_exact(adapted):
    clip, before = torch.rand(CLIP), copy.deepcopy(adapted.state_dict())
    unmerged = adapted(clip)
    removed = merge(adapted)
    assert not list(adapted_layers(adapted))
    assert adapted.state_dict().keys() == VRT(**TWO_BLOCKS).state_dict().keys()
    torch.testing.assert_close(adapted(clip), unmerged, rtol=0, atol=5e-6)
    unmerge(adapted, removed)
    torch.testing.assert_close(adapted.state_dict(), before, rtol=0, atol=5e-6)
    assert {name for name, each in adapted.named_parameters() if each.requires_grad} >= {'conv_last.weight'}
    assert not any(each.requires_grad for name, each in adapted.named_parameters() if name.endswith('qkv_self.weight'))


def test_the_same_file_gives_a_plain_and_an_adapted_network_the_same_outputs(adapted):
    weights, clip = adapted.state_dict(), torch.rand(CLIP)
    plain = VRT(**TWO_BLOCKS).eval()
    load_exact(plain, weights)
    torch.testing.assert_close(plain(clip), adapted(clip), rtol=0, atol=5e-6)
    other = VRT(**TWO_BLOCKS).eval()
    adapt(other, LoRA([*ATTENTION, '*.fc2', '*.fc11'], rank=3, alpha=99))
    assert load_matching(other, weights).merged == []
    torch.testing.assert_close(other(clip), adapted(clip), rtol=0, atol=0)


def test_fused_projections_are_adapted_too():
    """Query, key and value in one layer; and layers whose weight is read by a fused operator."""
    torch.manual_seed(0)
    tsa = awake(TemporalSelfAttention(8, heads=2)).eval()
    adapt(tsa, LoRA(['*'], rank=2))
    awake_adapters(tsa)
    x = torch.rand(1, 8, 3, 4, 4)
    adapted = tsa(x)
    assert len(merge(tsa)) == 3 * 5
    torch.testing.assert_close(tsa(x), adapted, rtol=0, atol=5e-6)


def test_only_adapters_and_the_named_parts_are_trained(adapted):
    adapted.train()
    before = copy.deepcopy(adapted.state_dict())
    optimizer = torch.optim.SGD(adapted.parameters(), lr=0.1)
    adapted(torch.rand(CLIP)).square().mean().backward()
    optimizer.step()
    changed = {name for name, each in adapted.state_dict().items() if not torch.equal(each, before[name])}
    assert all(name.endswith(('lora_A', 'lora_B')) or name.startswith('conv_last') for name in changed)
    assert 'stage1.residual_group1.blocks.0.attn.qkv_self.lora_A' in changed
    assert 'stage1.residual_group1.blocks.0.mlp.fc2.lora_B' in changed
    trained = set(trained_state(adapted))
    assert changed <= trained
    assert not any(name.endswith('qkv_self.weight') for name in trained)


def test_gradients_are_those_of_the_sum():
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach()
    model = nn.Sequential(layer)
    adapt(model, LoRA(['0'], rank=2, alpha=1))
    awake_adapters(model)
    x = torch.rand(5, 4)
    a, b = (each.detach().clone().requires_grad_() for each in (layer.lora_A, layer.lora_B))
    expected = nn.functional.linear(x, weight, bias) + 0.5 * nn.functional.linear(nn.functional.linear(x, a), b)
    torch.testing.assert_close(model(x), expected)
    model(x).square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close((layer.lora_A.grad, layer.lora_B.grad), (a.grad, b.grad))


def test_an_adapted_layer_is_copied_and_compiled():
    model = nn.Sequential(nn.Linear(4, 3))
    adapt(model, LoRA(['0'], rank=2))
    awake_adapters(model)
    x = torch.rand(5, 4)
    twin = copy.deepcopy(model)
    assert isinstance(twin[0], LoRALinear)
    torch.testing.assert_close(torch.compile(twin, backend='eager', fullgraph=True)(x), model(x))


def test_of_a_restorer():
    lora = dict(layers=['backbone.*.qkv_self'], rank=2, trained=['backbone.spynet'])
    model = SpikeRestorer(backbone=VRT(**TWO_BLOCKS), lora=lora)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert all(name.startswith('backbone.spynet.') or name.endswith(('lora_A', 'lora_B')) for name in trained)
    assert any(name.endswith('qkv_self.lora_A') for name in trained)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(layers=['*.qkv']), r"lora: no linear layer matches '\*\.qkv'"),
        (dict(layers=['conv_first']), "lora: no linear layer matches 'conv_first'"),
        (dict(trained=['head']), "no parameter matches 'head'"),
        (dict(rank=0), 'rank=0'),
        (dict(alpha=0), 'alpha=0'),
    ],
)
def test_what_cannot_be_adapted_is_one_clear_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        adapt(VRT(**TWO_BLOCKS), LoRA(**dict(layers=ATTENTION) | changes))
