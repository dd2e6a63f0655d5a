"""Convolution over frames, height and width whose training is right on CPUs too."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """``nn.Conv3d`` that trains in float32 on CPUs, under autocast to bfloat16 too; its result is of autocast's type.

    oneDNN 3.12, with which PyTorch 2.13 computes on CPUs, gets the weights' gradient in bfloat16 wrong: with AMX that
    of large maps, by factors of thousands, or it writes where it must not and ends the process; without AMX that of
    clips of two frames. Convolutions over two dimensions are right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> as ``nn.Conv3d``."""
        if not (x.device.type == 'cpu' and torch.is_autocast_enabled('cpu') and torch.is_grad_enabled()):
            return super().forward(x)
        with torch.autocast('cpu', enabled=False):
            out = super().forward(x.float())
        return out.to(torch.get_autocast_dtype('cpu'))
