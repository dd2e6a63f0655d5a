"""Charbonnier loss, the smooth absolute difference of restored and sharp frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive
from vrtspike.registry import MODELS


@MODELS.register_module()
class CharbonnierLoss(nn.Module):
    """Mean of sqrt(difference^2 + delta^2), times ``weight``.

    Close to the L1 norm above ``delta`` and quadratic below (Charbonnier et al., ICIP 1994,
    https://doi.org/10.1109/ICIP.1994.413553). Half-precision inputs, such as those from autocast, are compared
    in float32, because the squares of small differences vanish in half precision.

    Args:
        delta: Difference at which the loss turns quadratic, in units of the frames.
        weight: Factor of the loss.

    Raises:
        ConfigError: ``delta`` or ``weight`` is not above zero.
    """

    def __init__(self, delta: float = 1e-3, weight: float = 1.0) -> None:
        super().__init__()
        require_positive(type(self).__name__, delta=delta, weight=weight)
        self.delta = delta
        self.weight = weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of two tensors of the same shape; :class:`ConfigError` if their shapes differ."""
        if prediction.shape != target.shape:
            raise ConfigError(
                f'{type(self).__name__}: prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ; '
                'expected the same shape: check the scale and the number of frames that the backbone returns'
            )
        dtype = torch.promote_types(prediction.dtype, torch.float32)
        difference = prediction.to(dtype) - target.to(dtype)
        return self.weight * torch.sqrt(difference.square() + self.delta**2).mean()
