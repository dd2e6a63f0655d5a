"""Convolution over frames, height and width that is right on every processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HAS_AMX = getattr(torch.cpu, 'get_capabilities', dict)().get('amx_bf16', False)
"""Whether the processor multiplies tiles of matrices."""


class Conv3d(nn.Conv3d):
    """``nn.Conv3d`` whose training under bfloat16 autocast computes in float32 where the processor has AMX.

    oneDNN 3.12, which PyTorch 2.13 has on CPUs, gets the weights' gradient of large three-dimensional convolutions
    wrong there, by factors of thousands, or writes where it must not and ends the process. The result is bfloat16 as
    before. Convolutions over two dimensions are right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> as ``nn.Conv3d``."""
        if not (x.device.type == 'cpu' and torch.is_autocast_enabled('cpu') and torch.is_grad_enabled() and HAS_AMX):
            return super().forward(x)
        with torch.autocast('cpu', enabled=False):
            out = super().forward(x.float())
        return out.to(torch.get_autocast_dtype('cpu'))
