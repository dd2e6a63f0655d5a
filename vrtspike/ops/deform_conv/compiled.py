"""The compiled deformable convolutions of torchvision and mmcv, if they are installed.

Both get contiguous tensors, because mmcv's CPU kernel silently returns garbage for others. Both work in float32, which
positions need. Neither accepts float64, because mmcv rounds positions to float32 even there.
"""

from __future__ import annotations

import importlib
from functools import lru_cache

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@lru_cache
def missing(package: str) -> str | None:
    """Return why the kernel of ``package``, ``'torchvision'`` or ``'mmcv'``, cannot be used here, or None."""
    try:
        importlib.import_module(f'{package}.ops')
    except (ImportError, RuntimeError, AttributeError) as error:  # it may be built for another torch, or not at all
        return f'needs {package} with compiled operators: {error}'
    return None


def torchvision(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int
) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` with torchvision."""
    from torchvision.ops import deform_conv2d

    with torch.autocast(x.device.type, enabled=False):
        x, offset, mask, weight, bias = _float32(x, offset, mask, weight, bias)
        return deform_conv2d(x, offset, weight, bias, padding=padding, mask=mask)


def mmcv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` with mmcv."""
    from mmcv.ops import modulated_deform_conv2d

    groups = x.shape[1] // weight.shape[1]
    deformable_groups = mask.shape[1] // (weight.shape[-1] ** 2)
    with torch.autocast(x.device.type, enabled=False):
        x, offset, mask, weight, bias = _float32(x, offset, mask, weight, bias)
        return modulated_deform_conv2d(x, offset, mask, weight, bias, 1, padding, 1, groups, deformable_groups)


def _float32(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.float().contiguous() for tensor in tensors]
