"""Mixed precision under one name on every device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.amp import GradScaler

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.optim.merged_groups import merged_groups
from vrtspike.optim.wrapper import OptimWrapper
from vrtspike.registry import OPTIM_WRAPPERS

DTYPES = {'auto': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
SCALER_ARGUMENTS = ('init_scale', 'growth_factor', 'backoff_factor', 'growth_interval')


@OPTIM_WRAPPERS.register_module()
class DeviceAmpOptimWrapper(OptimWrapper):
    """Trains under autocast in the best type of the device.

    That is bfloat16, or float16 with loss scaling on older GPUs. CPUs without bfloat16 compute in float32.

    The device is that of the optimizer's first parameter when the wrapper is first used. Weights stay float32.
    Gradient clipping, accumulation and the logged gradient norm work as in MMEngine's ``OptimWrapper``.

    Args:
        optimizer: The optimizer whose parameters are trained.
        dtype: ``'auto'``, ``'bfloat16'`` or ``'float16'``. ``'auto'`` is bfloat16 if the device supports it natively
            (CPUs with AVX-512, GPUs since Ampere), otherwise float16 on GPUs and float32 on CPUs.
        loss_scale: With float16 only: ``'dynamic'``, a constant number, or a dict of ``torch.amp.GradScaler``'s
            ``init_scale``, ``growth_factor``, ``backoff_factor`` and ``growth_interval``.
            bfloat16 has float32's range and needs no scaling.
        accumulative_counts: Iterations whose gradients are summed before a step.
        clip_grad: Arguments of ``torch.nn.utils.clip_grad_norm_``, applied to the unscaled gradients.

    Raises:
        ConfigError: If an argument is invalid, or (at the first use) the device does not support ``dtype``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        dtype: str = 'auto',
        loss_scale: str | float | dict = 'dynamic',
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f'optim_wrapper.dtype={dtype!r} is unknown{did_you_mean(dtype, DTYPES)}')
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self.dtype = dtype
        self.scaler_arguments = scaler_arguments(loss_scale)
        self.fixed_scale = None if isinstance(loss_scale, (str, dict)) else float(loss_scale)
        self._scaler: GradScaler | None = None

    @property
    def device(self) -> torch.device:
        """The device of the optimizer's first parameter."""
        return self.optimizer.param_groups[0]['params'][0].device

    @property
    def cast_dtype(self) -> torch.dtype:
        """The type of autocast on this device."""
        return resolve_dtype(self.dtype, self.device)

    @property
    def loss_scaler(self) -> GradScaler:
        """Scales the loss under float16; passes it through otherwise."""
        if self._scaler is None:
            enabled = self.cast_dtype == torch.float16
            self._scaler = GradScaler(self.device.type, enabled=enabled, **self.scaler_arguments)
        return self._scaler

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient synchronisation while gradients accumulate."""
        with super().optim_context(model), autocast(self.device, self.cast_dtype):
            yield

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Backpropagate the scaled loss."""
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        """Unscale, clip and step; under float16 a step whose gradients overflowed is skipped."""
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        with merged_groups(self.optimizer):
            self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update(self.fixed_scale)

    def state_dict(self) -> dict:
        """Return the optimizer's state with the scaler's under ``loss_scaler`` (empty without scaling)."""
        return {**super().state_dict(), 'loss_scaler': self.loss_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the result of :meth:`state_dict`, also from another device or precision."""
        state_dict = dict(state_dict)
        scale = state_dict.pop('loss_scaler', None)
        # A run without scaling so far (bfloat16, float32) continues with a fresh scale.
        if scale:
            self.loss_scaler.load_state_dict(scale)
        super().load_state_dict(state_dict)


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the torch type of ``dtype`` ('auto', 'bfloat16' or 'float16') on ``device``.

    Raises:
        ConfigError: If the device does not support it.
    """
    if device.type == 'cpu' and dtype == 'float16':
        raise ConfigError(
            "optim_wrapper.dtype='float16' needs a GPU and the network is on the CPU; "
            "write dtype='auto' (the best type on each device) or dtype='bfloat16'"
        )
    native = has_bfloat16(device)
    if dtype == 'bfloat16' and device.type == 'cuda' and not native:
        raise ConfigError(
            f"optim_wrapper.dtype='bfloat16' is not computed natively by {torch.cuda.get_device_name(device)}; "
            "write dtype='auto' or dtype='float16'"
        )
    without = torch.float32 if device.type == 'cpu' else torch.float16
    return DTYPES[dtype] or (torch.bfloat16 if native else without)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 natively.

    Emulation costs more than it saves: with AVX2 alone, a training iteration takes four times as long as in float32.
    """
    match device.type:
        case 'cpu':
            return torch.ops.mkldnn._is_mkldnn_bf16_supported()
        case 'cuda':
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return True


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context that computes in ``dtype``; for float32 it changes nothing."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def scaler_arguments(loss_scale: str | float | dict) -> dict:
    """Return the arguments of ``torch.amp.GradScaler`` for a ``loss_scale`` of the wrapper."""
    if isinstance(loss_scale, dict):
        for name in loss_scale.keys() - set(SCALER_ARGUMENTS):
            raise ConfigError(f'optim_wrapper.loss_scale has no {name!r}{did_you_mean(name, SCALER_ARGUMENTS)}')
        return dict(loss_scale)
    if loss_scale == 'dynamic':
        return {}
    if isinstance(loss_scale, (int, float)) and not isinstance(loss_scale, bool) and loss_scale > 0:
        return {'init_scale': float(loss_scale)}
    raise ConfigError(
        f"optim_wrapper.loss_scale={loss_scale!r} should be 'dynamic', a positive number, or a dict of "
        "torch.amp.GradScaler's arguments"
    )
