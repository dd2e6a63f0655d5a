"""The gated feed-forward network of VRT's blocks (GEGLU, arXiv 2002.05202)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.ops.pieces import in_pieces


class GatedMLP(nn.Module):
    """``fc2(gelu(fc11(x)) * fc12(x))`` on the last axis.

    Args:
        in_features: Channels that come in.
        hidden_features: Channels of each of the two branches.
        out_features: Channels that go out; None is as many as come in.
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int | None = None) -> None:
        super().__init__()
        self.fc11 = nn.Linear(in_features, hidden_features)
        self.fc12 = nn.Linear(in_features, hidden_features)
        self.fc2 = nn.Linear(hidden_features, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        return in_pieces(self.gated, x)

    def gated(self, x: Tensor) -> Tensor:
        """Compute the network for all tokens at once."""
        hidden, gate = F.gelu(self.fc11(x)), self.fc12(x)
        return self.fc2(hidden * gate if torch.is_grad_enabled() else hidden.mul_(gate))
