"""VRT against the published network: golden arrays computed in float64, weights by the recipe of golden_weights.py."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from errors_of_tensors import largest

from vrtspike.models import VRT
from vrtspike.models.layers.flow import clip_flows
from vrtspike.ops import WINDOW_ATTENTION, use_backends

TESTS = Path(__file__).parents[2]
TOLERANCE = 1e-5
REFERENCE = dict(window_attention='reference', deform_conv2d='reference')
FUSED = dict(window_attention='sdpa', deform_conv2d='grid_sample')
CASES = ['deblur_even', 'deblur_ragged', 'deblur_window7', 'interp_pa0']
SLOW_CASES = ['deblur_pa4', 'denoise_nonblind', 'sr_x4_pa6']


def cases(fast, slow):
    return [*fast, *(pytest.param(case, marks=pytest.mark.slow) for case in slow)]


WITH_FLOW = cases([case for case in CASES if case != 'interp_pa0'], SLOW_CASES)


def load_golden_weights():
    # Tests are imported by path, so the file beside this folder is no module that could be named.
    spec = importlib.util.spec_from_file_location('golden_weights', TESTS / 'golden_weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_case(name):
    """Return the arrays of a case with its configuration and gradient norms decoded."""
    arrays = dict(np.load(TESTS / 'golden' / f'{name}.npz'))
    arrays['config'] = json.loads(str(arrays['config']))
    arrays['grad/param_norms'] = json.loads(str(arrays['grad/param_norms']))
    return arrays


def build(golden, dtype=torch.float64):
    # Recomputed, the reference's attention scores need 2 GB in float64 and not 7.
    model = VRT(**golden['config'], use_checkpoint_attn=True).to(dtype).eval()
    return load_golden_weights().set_golden_weights(model, int(golden['seed']))


def features_of_stage8(model, features):
    """Record what enters the norm after stage 8, the one stage that ``fuse`` does not see."""
    model.norm.register_forward_pre_hook(lambda _, args: features.update({8: args[0].permute(0, 4, 1, 2, 3)}))


def run_case(name, backends, dtype=torch.float64):
    """Run a case forward and backward once; the tests look at what came out."""
    golden = read_case(name)
    model = build(golden, dtype)
    clip = torch.from_numpy(golden['input']).to(dtype).requires_grad_()
    features = {}

    def record(i, x):
        features[i] = x
        return x

    features_of_stage8(model, features)
    with use_backends(**backends):  # the backward pass too, since it recomputes the attention
        output = model(clip, fuse=record)
        direction = torch.from_numpy(np.random.RandomState(7).standard_normal(output.shape)).to(dtype)
        (output * direction).sum().backward()
    norms = {key: float(parameter.grad.norm()) for key, parameter in model.named_parameters()}
    features = {i: x.detach()[..., ::4, ::4] for i, x in features.items()}
    return SimpleNamespace(golden=golden, output=output.detach(), grad=clip.grad, features=features, norms=norms)


def relative_error(found, golden):
    """Return max|difference| / max|golden|; shapes must agree."""
    golden = torch.from_numpy(np.asarray(golden)).double()
    assert tuple(found.shape) == tuple(golden.shape)
    return float((found - golden).abs().max() / golden.abs().max())


def stored(output):
    """Return an output as the golden files hold it: large ones with every second row and column."""
    return output if output.numel() <= 400_000 else output[..., ::2, ::2]


def worst_norm(result):
    """Return the largest relative deviation of a parameter's gradient norm, and the parameter's name."""
    golden = result.golden['grad/param_norms']
    assert set(result.norms) == set(golden)
    errors = {name: abs(result.norms[name] - norm) / norm for name, norm in golden.items()}
    worst = max(errors, key=lambda name: largest([errors[name]]))
    return errors[worst], worst


def assert_golden(result):
    assert relative_error(stored(result.output), result.golden['output']) < TOLERANCE
    for i in range(1, 9):
        assert relative_error(result.features[i], result.golden[f'feature/stage{i}']) < TOLERANCE, f'stage {i}'
    assert relative_error(result.grad[..., ::4, ::4], result.golden['grad/input']) < TOLERANCE
    error, name = worst_norm(result)
    assert error < TOLERANCE, name


@pytest.mark.parametrize('case', cases(['deblur_window7', 'interp_pa0'], ['deblur_even', 'deblur_ragged', *SLOW_CASES]))
def test_output_features_and_gradients(case):
    assert_golden(run_case(case, REFERENCE))


def test_fused_operators_reproduce_a_golden_case_too():
    assert_golden(run_case('deblur_ragged', FUSED))


@pytest.mark.parametrize('case', WITH_FLOW)
def test_flow(case):
    golden = read_case(case)
    model = build(golden)
    with torch.no_grad():
        clip = torch.from_numpy(golden['input'][:, :, :3]).double()
        (backward, *_), (forward, *_) = clip_flows(model.spynet, clip, 1)[0]
    assert relative_error(backward[0, ..., ::4, ::4], golden['flow/backward_full']) < TOLERANCE
    assert relative_error(forward[0, ..., ::4, ::4], golden['flow/forward_full']) < TOLERANCE


@pytest.mark.skipif(WINDOW_ATTENTION.find('native').missing() is not None, reason='needs a C++ compiler')
def test_the_cpu_kernel_reproduces_a_golden_case_in_float32():
    """A case without flow, whose sampling positions float32 would round to other pixels here and there."""
    result = run_case('interp_pa0', dict(window_attention='native'), torch.float32)
    assert relative_error(stored(result.output), result.golden['output']) < 1e-5
    assert relative_error(result.grad[..., ::4, ::4], result.golden['grad/input']) < 2e-4
    error, name = worst_norm(result)
    assert error < 2e-4, name


@pytest.fixture(scope='module')
def released():
    """The names and shapes of the released GoPro deblurring network and the configuration it was built with."""
    return json.loads((TESTS / 'golden' / 'state_dict_006_gopro.json').read_text())


@pytest.fixture(scope='module')
def deblurring_network(released):
    return VRT(**released['config'])


def test_state_dict_has_the_released_names_shapes_and_kinds(released, deblurring_network):
    parameters = dict(deblurring_network.named_parameters())
    found = {
        name: [list(tensor.shape), 'parameter' if name in parameters else 'buffer']
        for name, tensor in deblurring_network.state_dict().items()
    }
    assert found == released['entries']
    assert sum(parameter.numel() for parameter in parameters.values()) == released['parameters']


def test_a_checkpoint_in_the_released_layout_loads_strictly(released, deblurring_network):
    before = {name: tensor.clone() for name, tensor in deblurring_network.state_dict().items()}
    checkpoint = {
        'params': {
            name: torch.full(shape, 0.25) if kind == 'parameter' else before[name]
            for name, (shape, kind) in released['entries'].items()
        }
    }
    deblurring_network.load_state_dict(checkpoint['params'], strict=True)
    assert all(bool((parameter == 0.25).all()) for parameter in deblurring_network.parameters())
