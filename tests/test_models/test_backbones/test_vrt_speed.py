"""What makes VRT faster or smaller changes none of its numbers."""

import copy
from pathlib import Path

import pytest
import torch
from gpu_paths import take_gpu_paths
from tool_processes import run_ranks

from vrtspike.errors import ConfigError
from vrtspike.models import VRT
from vrtspike.models.layers.attention import WindowAttention
from vrtspike.models.layers.blocks import AttentionGroup
from vrtspike.models.layers.branch_costs import branches_of
from vrtspike.models.layers.checkpointing import attention_blocks
from vrtspike.models.layers.memory_fit import MemoryFit
from vrtspike.models.layers.torch_compile import compile_blocks
from vrtspike.ops import use_backends
from vrtspike.testing.sweep import TINY_BACKBONE

SMALL = TINY_BACKBONE | dict(img_size=[3, 16, 16], window_size=[3, 4, 4], depths=[2] * 7 + [1])


def tiny(**options):
    torch.manual_seed(0)
    model = VRT(**SMALL | dict(drop_path_rate=0.0) | options)
    torch.nn.init.normal_(model.conv_last.weight, std=0.1)
    return model.train()


def step(model, seed=1):
    torch.manual_seed(seed)
    clip = torch.rand(1, 3, 3, 16, 16)
    torch.manual_seed(seed)
    out = model(clip)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found[0], expected[0], rtol=tolerance, atol=tolerance)
    assert found[1].keys() == expected[1].keys()
    scale = max(grad.abs().max() for grad in expected[1].values())
    for name, grad in expected[1].items():
        assert (found[1][name] - grad).abs().max() <= tolerance * scale, name


@pytest.mark.parametrize('attn_type', ['reference', 'sdpa'])
def test_attention_types_agree(attn_type):
    assert_same(step(tiny(attn_type=attn_type)), step(tiny()))


def test_an_unknown_attention_type_is_refused():
    with pytest.raises(ConfigError, match="window_attention has no backend 'flsh'; did you mean 'flash'"):
        tiny(attn_type='flsh')


@pytest.mark.parametrize('policy', ['attn', 'ffn', 'all'])
def test_checkpointing_changes_no_number(policy):
    assert_same(step(tiny(checkpointing=policy)), step(tiny(checkpointing='none')), 1e-6)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match="checkpointing='al' is unknown; did you mean 'all'"):
        tiny(checkpointing='al')


def gradients(drop_path_rate, **options):
    model = tiny(drop_path_rate=drop_path_rate, **options)
    return step(model), model


@pytest.mark.parametrize('drop_path_rate', [0.0, 0.5])
@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_budgets_change_no_bit_of_the_gradients(dtype, drop_path_rate):
    shares = set()
    with torch.autocast('cpu', dtype=dtype, enabled=dtype is not None):
        (expected, grads), _ = gradients(drop_path_rate, checkpointing='none')
        for budget in (1e6, 0.6, 0.4, 0.3, 1e-3):
            (found, others), model = gradients(drop_path_rate, checkpointing='auto', checkpoint_budget_mib=budget)
            (choice,) = model.memory_fit.choices.values()
            shares.add(sum(choice.recomputed))
            assert torch.equal(found, expected)
            assert others.keys() == grads.keys()
            for name, grad in grads.items():
                assert torch.equal(others[name], grad), name
    assert len(shares) > 3
    assert min(shares) == 0
    assert max(shares) == 30


def test_a_choice_draws_no_random_numbers():
    model = tiny(checkpointing='auto', checkpoint_budget_mib=0.5, drop_path_rate=0.5)
    clip, state = torch.rand(1, 3, 3, 16, 16), torch.get_rng_state()
    model.memory_fit(model.attention_groups(clip), (1, 3, 16, 16), clip)
    assert len(model.memory_fit.choices) == 1
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize('wrapping', ['copied', 'copied_with_unused', 'sharded'])
def test_processes_may_choose_differently(tmp_path, wrapping):
    """One saves everything, the other recomputes everything; both have the gradients of the network alone."""
    script = Path(__file__).with_name('distributed_vrt.py')
    for rank, process in enumerate(run_ranks(script, wrapping, cwd=tmp_path)):
        assert process.returncode == 0, process.stderr[-4000:]
        lines = process.stdout.splitlines()
        assert [line for line in lines if line.startswith(f'{30 * rank} of 30 branches are recomputed;')], lines
        assert 'largest difference 0.0' in lines


@pytest.mark.parametrize('enabled', [False, True])
def test_branches_are_measured_on_maps_as_the_blocks_take_them(enabled):
    model, clip, seen = tiny(), torch.zeros(1, 3, 3, 16, 16), []
    for block in attention_blocks(model):
        block.register_forward_pre_hook(lambda block, inputs: seen.append((block, inputs[0].shape, inputs[0].dtype)))
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
        model(clip)
        branches = list(branches_of(model.attention_groups(clip), (1, 3, 16, 16)))
    assert seen == [(branch.block, branch.shape, branch.dtype) for branch in branches if branch.name == 'attn']


def test_less_is_recomputed_within_a_larger_budget():
    model, clip = tiny(checkpointing='auto', checkpoint_budget_mib=0.0), torch.zeros(1, 3, 3, 16, 16)
    branches = list(branches_of(model.attention_groups(clip), (1, 3, 16, 16)))
    least, most = (MemoryFit(budget).choose(branches, clip) for budget in (0.0, 1e6))
    assert all(least.recomputed)
    assert not any(most.recomputed)
    for budget in (0.9 * most.saved_mib, 1.1 * least.saved_mib):
        found = MemoryFit(budget).choose(branches, clip)
        assert least.saved_mib < found.saved_mib <= budget
        assert 0 < sum(found.recomputed) < 30


@pytest.mark.slow
@pytest.mark.parametrize('recompute', [False, True])
def test_compiled_blocks_agree_with_stochastic_depth_and_checkpointing(recompute):
    torch.manual_seed(0)
    options = dict(channels=8, heads=2, window=(2, 4, 4), mutual=True, drop_paths=[0.5, 0.5])
    plain = AttentionGroup(2, **options, checkpoint_attn=recompute, checkpoint_ffn=recompute).train()
    compiled = copy.deepcopy(plain)
    compile_blocks(compiled, 'default', backend='aot_eager')
    assert compiled.state_dict().keys() == plain.state_dict().keys()

    def run(group):
        torch.manual_seed(1)
        out = group(torch.linspace(-1, 1, 4 * 2 * 8 * 8 * 8).view(4, 2, 8, 8, 8))
        out.square().sum().backward()
        return out.detach(), {name: p.grad for name, p in group.named_parameters()}

    assert_same(run(compiled), run(plain))


def test_factors_of_stochastic_depth_compile_nothing_again():
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    group = AttentionGroup(2, channels=8, heads=2, window=(2, 4, 4), mutual=False, drop_paths=[0.0, 1e-9])
    compile_blocks(group, 'default', backend=keep)
    x = torch.rand(1, 2, 8, 8, 8)
    group.eval()(x)
    made = len(graphs)
    group.train()(x)
    assert len(graphs) == made > 0
    torch.compiler.reset()


@pytest.fixture
def compiled_graphs():
    """Return the graphs of :data:`compiled_attention`, one for each map and shift that it cannot share."""
    torch.compiler.reset()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    yield lambda module: torch.compile(module, backend=keep, fullgraph=True), graphs
    torch.compiler.reset()


def test_compiled_graphs_hold_no_tensor_of_the_host(compiled_graphs):
    compile_module, graphs = compiled_graphs
    attention = WindowAttention(8, (2, 4, 4), 2, mutual=True, attn_type='sdpa').to('meta')  # any device but the host
    compiled = compile_module(attention)
    assert compiled(torch.empty(1, 4, 8, 8, 8, device='meta'), (1, 2, 2)).shape == (1, 4, 8, 8, 8)
    values = [(node, node.meta.get('example_value')) for graph in graphs for node in graph.graph.nodes]
    devices = {node.name: value.device.type for node, value in values if isinstance(value, torch.Tensor)}
    assert set(devices.values()) == {'meta'}
    assert not [node for node, _ in values if 'argsort' in str(node.target)]


def test_compiled_attention_is_the_same(compiled_graphs):
    compile_module, _ = compiled_graphs
    torch.manual_seed(0)
    attention = WindowAttention(8, (2, 4, 4), 2, mutual=True, attn_type='sdpa')
    x = torch.rand(1, 4, 8, 12, 8)
    with use_backends(linear='reference'):  # graphs have PyTorch's linear layers
        assert torch.equal(compile_module(attention)(x, (1, 2, 2)), attention(x, (1, 2, 2)))


def test_modes_of_compilation_are_checked():
    with pytest.raises(ConfigError, match="compile_mode='fast' is unknown"):
        tiny(compile_mode='fast')
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match='records CUDA graphs, but there is no GPU'):
            tiny(compile_mode='reduce-overhead')


def test_flow_stays_in_float32_under_autocast():
    model = tiny()
    image = torch.rand(1, 3, 3, 16, 16)
    with torch.no_grad():
        expected = model.flows(image)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            found = model.flows(image)
    for left, right in zip(found, expected, strict=True):
        assert torch.equal(left[0][0], right[0][0])


def test_flow_follows_autocast_where_asked_to():
    model = tiny(flow_precision='autocast')
    image = torch.rand(1, 3, 3, 16, 16)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        found = model.flows(image)
    with torch.no_grad():
        expected = model.flows(image)
    assert not torch.equal(found[0][0][0], expected[0][0][0])
    torch.testing.assert_close(found[0][0][0].float(), expected[0][0][0], rtol=0.1, atol=0.1)


def test_flow_precisions_are_known_by_name():
    with pytest.raises(ConfigError, match="did you mean 'float32'"):
        tiny(flow_precision='float23')


def test_all_blocks_are_found():
    assert len(attention_blocks(tiny())) == 15


@pytest.mark.parametrize('settings', [dict(), dict(checkpointing='all', window_size=[2, 3, 3], attn_type='reference')])
def test_the_paths_of_gpus_compute_the_same(monkeypatch, settings):
    expected = step(tiny(**settings))
    take_gpu_paths(monkeypatch)
    assert_same(step(tiny(**settings)), expected)


@pytest.mark.parametrize('checkpointing', ['none', 'all'])
def test_the_paths_of_gpus_round_as_much_under_autocast(monkeypatch, checkpointing):
    def errors(found):
        return [float((found[1][name] - grad).norm() / grad.norm().clamp_min(1e-6)) for name, grad in exact[1].items()]

    exact = step(tiny(checkpointing=checkpointing))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        before = step(tiny(checkpointing=checkpointing))
        take_gpu_paths(monkeypatch)
        found = step(tiny(checkpointing=checkpointing))
    assert found[1].keys() == exact[1].keys()
    assert all(grad.dtype == torch.float32 for grad in found[1].values())
    torch.testing.assert_close(found[0], exact[0], rtol=0.05, atol=0.05)
    assert sum(errors(found)) < 1.2 * sum(errors(before))
