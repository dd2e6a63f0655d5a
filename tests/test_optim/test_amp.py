import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.optim import DeviceAmpOptimWrapper, amp
from vrtspike.registry import OPTIM_WRAPPERS


def make_wrapper(device='cpu', wrapper=DeviceAmpOptimWrapper, **kwargs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1)).to(device)
    return model, wrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2), **kwargs)


def train(model, wrapper, iterations=3, factor=1.0):
    """Train on fixed data; return the losses and the type that the network computed in."""
    x = torch.linspace(-1, 1, 32, device=next(model.parameters()).device).view(8, 4)
    losses = []
    for _ in range(iterations):
        with wrapper.optim_context(model):
            out = model(x)
            loss = (out.float() - 1).square().mean() * factor
        wrapper.update_params(loss)
        losses.append(loss.item())
    return losses, out.dtype


@pytest.fixture
def float16_anywhere(monkeypatch):
    """Let float16 with loss scaling run where these tests run; the arithmetic is the GPU's."""
    monkeypatch.setattr(amp, 'resolve_dtype', lambda dtype, device: torch.float16)


@pytest.fixture(params=[True, False], ids=['avx512', 'avx2'])
def cpu_has_bfloat16(monkeypatch, request):
    """A CPU with and one without bfloat16."""
    monkeypatch.setattr(amp, 'has_bfloat16', lambda device: request.param)
    return request.param


@pytest.mark.parametrize('dtype', ['auto', 'bfloat16'])
def test_a_cpu_trains_without_scaling_in_bfloat16_if_it_has_it_or_must(cpu_has_bfloat16, dtype):
    model, wrapper = make_wrapper(dtype=dtype)
    losses, computed = train(model, wrapper, 20)
    assert computed == (torch.bfloat16 if cpu_has_bfloat16 or dtype == 'bfloat16' else torch.float32)
    assert losses[-1] < losses[0] / 2
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not wrapper.loss_scaler.is_enabled()


def test_float16_on_a_cpu_is_an_error_that_says_what_to_write():
    model, wrapper = make_wrapper(dtype='float16')
    with pytest.raises(ConfigError, match=r"float16.* needs a GPU.*dtype='auto'"), wrapper.optim_context(model):
        pass


@pytest.mark.parametrize(
    ('dtype', 'native', 'expected'),
    [('auto', True, torch.bfloat16), ('auto', False, torch.float16), ('float16', True, torch.float16)],
)
def test_a_gpu_without_native_bfloat16_gets_float16(monkeypatch, dtype, native, expected):
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: native or including_emulation)
    assert amp.resolve_dtype(dtype, torch.device('cuda')) == expected


def test_bfloat16_on_a_gpu_that_only_emulates_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Tesla T4')
    with pytest.raises(ConfigError, match="Tesla T4; write dtype='auto' or dtype='float16'"):
        amp.resolve_dtype('bfloat16', torch.device('cuda'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'dtype': 'bf16'}, "dtype='bf16' is unknown.*bfloat16"),
        ({'loss_scale': 'static'}, "loss_scale='static' should be 'dynamic'"),
        ({'loss_scale': -1.0}, 'loss_scale=-1.0'),
        ({'loss_scale': {'init_scal': 2.0}}, "no 'init_scal'; did you mean 'init_scale'"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_wrapper(**arguments)


def test_agrees_with_plain_training_up_to_rounding():
    plain, _ = train(*make_wrapper(wrapper=OptimWrapper), 10)
    mixed, _ = train(*make_wrapper(dtype='bfloat16'), 10)
    assert mixed == pytest.approx(plain, rel=0.02)


def test_accumulates_gradients_over_iterations():
    model, wrapper = make_wrapper(accumulative_counts=2)
    before = model[0].weight.clone()
    train(model, wrapper, 1)
    assert torch.equal(model[0].weight, before)
    train(model, wrapper, 1)
    assert not torch.equal(model[0].weight, before)


def test_clips_the_gradient_and_logs_its_norm(float16_anywhere):
    model, wrapper = make_wrapper(clip_grad={'max_norm': 1e-3}, loss_scale=1024.0)
    wrapper.zero_grad = lambda: None  # keep the gradients for inspection
    train(model, wrapper, 1)
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    logged = MessageHub.get_current_instance().get_scalar('train/grad_norm').current()
    assert 0.1 < logged < 10  # of the unscaled gradients


def test_float16_skips_the_step_that_overflows_and_lowers_the_scale(float16_anywhere):
    model, wrapper = make_wrapper(loss_scale={'init_scale': 2.0**10})
    before = model[0].weight.clone()
    train(model, wrapper, 1, factor=float('inf'))
    assert torch.equal(model[0].weight, before)
    assert wrapper.loss_scaler.get_scale() == 2.0**9
    train(model, wrapper, 1)
    assert not torch.equal(model[0].weight, before)


def test_a_fixed_scale_stays(float16_anywhere):
    model, wrapper = make_wrapper(loss_scale=512)
    train(model, wrapper, 1, factor=float('inf'))
    assert wrapper.loss_scaler.get_scale() == 512


def test_state_carries_the_scale(float16_anywhere):
    model, wrapper = make_wrapper(loss_scale={'init_scale': 2.0**10})
    train(model, wrapper, 1, factor=float('inf'))
    state = wrapper.state_dict()
    resumed, other = make_wrapper()
    resumed.load_state_dict(model.state_dict())
    other.load_state_dict(state)
    train(resumed, other, 2)
    train(model, wrapper, 2)
    assert other.loss_scaler.get_scale() == wrapper.loss_scaler.get_scale() == 2.0**9
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))
    assert 'loss_scaler' in state  # loading takes nothing away from what it is given


def test_state_moves_between_precisions(monkeypatch):
    model, bfloat16 = make_wrapper(dtype='bfloat16')
    train(model, bfloat16)
    plain = make_wrapper(wrapper=OptimWrapper)[1]
    plain.load_state_dict(bfloat16.state_dict())
    monkeypatch.setattr(amp, 'resolve_dtype', lambda dtype, device: torch.float16)
    scaled_model, float16 = make_wrapper()
    for state in (bfloat16.state_dict(), plain.state_dict()):
        float16.load_state_dict(state)
        assert float16.loss_scaler.get_scale() == 2.0**16
    first = scaled_model[0].weight
    assert float16.optimizer.state[first]['step'] == 3


def test_is_built_from_a_config(cpu_has_bfloat16):
    model, _ = make_wrapper()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build({'type': 'DeviceAmpOptimWrapper', 'optimizer': optimizer, 'dtype': 'auto'})
    assert wrapper.cast_dtype == (torch.bfloat16 if cpu_has_bfloat16 else torch.float32)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['auto', 'float16', 'bfloat16'])
def test_trains_on_a_gpu(dtype):
    model, wrapper = make_wrapper('cuda', dtype=dtype, clip_grad={'max_norm': 10.0})
    losses, computed = train(model, wrapper, 20)
    assert computed == wrapper.cast_dtype
    assert wrapper.loss_scaler.is_enabled() == (computed == torch.float16)
    assert losses[-1] < losses[0] / 2
