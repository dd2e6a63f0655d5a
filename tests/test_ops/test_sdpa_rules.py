import itertools
import math
import warnings
from pathlib import Path

import pytest
import torch

from vrtspike.config import load_config
from vrtspike.models.layers.attention import SpaceTimeAttention, WindowAttention
from vrtspike.models.layers.temporal_attention import TemporalAttention
from vrtspike.ops import use_backends
from vrtspike.ops.sdpa_rules import (
    AttentionCall,
    Gpu,
    Kernel,
    aligned,
    kernel_of,
    misses_statistics,
    refusal,
    wrong_gradient,
)
from vrtspike.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
V100, A100, CONSUMER, H100, B200 = (
    Gpu(capability, (2, 13), 92000) for capability in ((7, 0), (8, 0), (8, 6), (9, 0), (10, 0))
)
GPUS = (A100, CONSUMER, H100, B200)
NETWORKS = sorted(
    path.relative_to(CONFIGS).as_posix() for folder in ('', 'vrt') for path in (CONFIGS / folder).glob('*.py')
)


def call(dtype=torch.bfloat16, head_dim=16, tokens=320, mask=True, mask_trained=False, trained=True):
    return AttentionCall(dtype, head_dim, tokens, mask, mask_trained, trained)


@pytest.mark.parametrize(
    ('gpu', 'expected'),
    [(V100, Kernel.EFFICIENT), (A100, Kernel.FLASH), (CONSUMER, Kernel.FLASH), (H100, Kernel.CUDNN)],
)
def test_without_a_mask_the_first_kernel_of_the_order_runs(gpu, expected):
    assert kernel_of(call(torch.float16, mask=False), gpu) is expected


@pytest.mark.parametrize(
    ('dtype', 'head_dim', 'mask', 'mask_trained', 'on_a100', 'on_h100'),
    [
        (torch.bfloat16, 16, True, True, Kernel.EFFICIENT, Kernel.EFFICIENT),
        (torch.bfloat16, 16, True, False, Kernel.EFFICIENT, Kernel.CUDNN),
        (torch.bfloat16, 20, True, True, Kernel.MATH, Kernel.MATH),
        (torch.float16, 30, True, False, Kernel.MATH, Kernel.MATH),
        (torch.float16, 30, False, False, Kernel.FLASH, Kernel.FLASH),
        (torch.float32, 20, True, True, Kernel.EFFICIENT, Kernel.EFFICIENT),
        (torch.float32, 30, True, True, Kernel.MATH, Kernel.MATH),
        (torch.float32, 16, False, False, Kernel.EFFICIENT, Kernel.EFFICIENT),
        (torch.float64, 16, True, True, Kernel.MATH, Kernel.MATH),
    ],
)
def test_the_kernel_of_a_call(dtype, head_dim, mask, mask_trained, on_a100, on_h100):
    one = call(dtype, head_dim, mask=mask, mask_trained=mask_trained)
    assert (kernel_of(one, A100), kernel_of(one, H100)) == (on_a100, on_h100)


def test_bfloat16_needs_ampere():
    assert kernel_of(call(torch.bfloat16), V100) is Kernel.MATH
    assert kernel_of(call(torch.float16), V100) is Kernel.EFFICIENT
    assert refusal(Kernel.FLASH, call(torch.float16, mask=False), V100) == 'needs compute capability 8.0'


def test_an_old_cudnn_is_not_tried_first():
    old = Gpu((9, 0), (2, 10), 91002)
    assert kernel_of(call(), old) is Kernel.EFFICIENT
    assert kernel_of(call(mask=False), old) is Kernel.FLASH


def test_refusals_say_why():
    assert refusal(Kernel.EFFICIENT, call(head_dim=20), A100) == 'needs heads of a multiple of 8 channels, not 20'
    assert refusal(Kernel.FLASH, call(), A100) == 'takes no mask'
    assert refusal(Kernel.CUDNN, call(mask_trained=True), H100) == 'takes no mask that needs a gradient'
    assert refusal(Kernel.CUDNN, call(torch.float32), H100) == 'does not compute in float32'
    assert refusal(Kernel.MATH, call(torch.float64, head_dim=7), V100) is None


@pytest.mark.parametrize('tokens', [64, 192, 320, 704])
def test_cudnn_is_wrong_in_the_reported_case_and_in_no_other(tokens):
    reported = call(tokens=tokens)
    assert wrong_gradient(Kernel.CUDNN, reported, H100) == f'may return NaN gradients for {tokens} tokens with a mask'
    right = [
        (Kernel.EFFICIENT, reported, H100),
        (Kernel.CUDNN, reported, A100),
        (Kernel.CUDNN, reported, B200),
        (Kernel.CUDNN, reported, Gpu((9, 0), (2, 10), 91600)),
        (Kernel.CUDNN, call(tokens=tokens, mask=False), H100),
        (Kernel.CUDNN, call(tokens=tokens, trained=False), H100),
        (Kernel.CUDNN, call(tokens=tokens + 64), H100),
        (Kernel.CUDNN, call(tokens=tokens + 8), H100),
    ]
    assert [wrong_gradient(*each) for each in right] == [None] * len(right)


def test_only_the_efficient_kernel_misses_statistics():
    only_the_mask = call(mask_trained=True, trained=False)
    assert misses_statistics(Kernel.EFFICIENT, only_the_mask)
    assert not misses_statistics(Kernel.MATH, only_the_mask)
    assert not misses_statistics(Kernel.EFFICIENT, call(mask_trained=True))
    assert not misses_statistics(Kernel.EFFICIENT, call(trained=False))


@pytest.mark.parametrize(
    ('dtype', 'widths'),
    [
        (torch.bfloat16, {4: 8, 16: 16, 20: 24, 30: 32, 32: 32}),
        (torch.float32, {4: 4, 18: 20, 30: 32}),
        (torch.float64, {5: 6}),
    ],
)
def test_aligned_widths(dtype, widths):
    assert {width: aligned(width, dtype) for width in widths} == widths


def calls_of(model):
    """Yield (heads' channels, tokens, whether there may be no mask, whether a mask may need a gradient)."""
    for module in model.modules():
        if isinstance(module, WindowAttention):
            head_dim, frame = module.qkv_self.in_features // module.heads, math.prod(module.window[1:])
            yield head_dim, frame * module.window[0], False, True
            if module.qkv_mut is not None:
                yield head_dim, frame, True, False
        elif isinstance(module, SpaceTimeAttention):
            yield module.query.out_features // module.heads, math.prod(module.window), False, True
        elif isinstance(module, TemporalAttention):
            for frames in (2, 5, 6, 16):
                yield module.query.out_features // module.heads, frames, True, False


def network_without_weights(name):
    with torch.device('meta'), warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # the flow network's weights have nowhere to go
        return MODELS.build(load_config(CONFIGS / name, cpu_overrides=False).model)


@pytest.mark.parametrize('name', NETWORKS)
def test_no_head_of_a_shipped_config_falls_to_math_after_padding(name):
    found = set(calls_of(network_without_weights(name)))  # empty for the light student, which has no attention
    for (head_dim, tokens, unmasked, learnt), gpu in itertools.product(found, GPUS):
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            for mask, mask_trained in {(True, False), (True, learnt), (not unmasked, False)}:
                one = AttentionCall(dtype, aligned(head_dim, dtype), tokens, mask, mask_trained, trained=True)
                assert kernel_of(one, gpu) is not Kernel.MATH, one


@pytest.mark.parametrize(
    ('name', 'padded'),
    [
        ('vrt/006_vrt_videodeblurring_gopro.py', {20}),
        ('vrt/001_vrt_videosr_bi_reds_6frames.py', {20, 30}),
        ('vrt_spike_tiny.py', {12}),
        ('vrt_spike_fast.py', set()),
    ],
)
def test_without_padding_the_heads_of_these_configs_fell_to_math(name, padded):
    calls = [
        AttentionCall(torch.bfloat16, head_dim, tokens, True, learnt, trained=True)
        for head_dim, tokens, _, learnt in calls_of(network_without_weights(name))
    ]
    assert {one.head_dim for one in calls if kernel_of(one, A100) is Kernel.MATH} == padded


def test_no_other_module_of_the_tiny_network_attends(monkeypatch):
    asked = set()

    def listen(q, k, v, **_):
        asked.add(q.shape[-1])
        return torch.zeros_like(q)

    model = MODELS.build(load_config(CONFIGS / 'vrt_spike_tiny.py', cpu_overrides=False).model).eval()
    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', listen)
    with torch.no_grad(), use_backends(window_attention='sdpa'):
        model(torch.rand(1, 5, 6, 16, 16), torch.rand(1, 5, 32, 8, 8))
    assert asked == {head_dim for head_dim, *_ in calls_of(model)}
