"""Freezes parts of the network, for some iterations or permanently."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.distributed.fsdp import FSDPModule

from vrtspike.errors import ConfigError
from vrtspike.profiling.parameters import parameters_under
from vrtspike.registry import HOOKS
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class FreezeHook(Hook):
    """Freezes parameters by name and releases them after some iterations, also in a resumed run.

    Args:
        names: Dotted names of modules or parameters such as ``'backbone.spynet'``, or patterns with ``*``, which also
            matches dots: ``'backbone.*.pa_deform'``.
        iters: Number of iterations before the parameters are trained; None keeps them frozen.

    Raises:
        ConfigError: Before training, if a name matches no parameter, or if the data-parallel wrapper does not allow
            parameters without gradients.
    """

    def __init__(self, names: Sequence[str], iters: int | None = None) -> None:
        self.names = [names] if isinstance(names, str) else list(names)
        self.iters = iters
        self._frozen: list[nn.Parameter] = []

    def before_train(self, runner: Runner) -> None:
        """Freeze the parameters, unless the run is already past ``iters``."""
        named = parameters_under(self.names, unwrap_model(runner.model))
        if self._is_over(runner):
            return
        check_allows_unused(runner.model)
        self._frozen = [parameter for parameter in named if parameter.requires_grad]
        self._set_trainable(False)
        until = 'for good' if self.iters is None else f'until iteration {self.iters}'
        runner.logger.info(f'{len(self._frozen)} parameters of {", ".join(self.names)} are frozen {until}.')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Release the parameters after ``iters`` iterations."""
        if self._frozen and self._is_over(runner):
            self._release(unwrap_model(runner.model))
            runner.logger.info(f'{", ".join(self.names)} are trained from here on.')

    def _is_over(self, runner: Runner) -> bool:
        return self.iters is not None and runner.iter >= self.iters

    def _release(self, model: nn.Module) -> None:
        self._set_trainable(True)
        self._frozen = []
        # Sharded modules compute with other parameters, which are still frozen.
        sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
        if not sharded:
            return
        for module in sharded:
            module.unshard()
        for parameter in parameters_under(self.names, model):
            parameter.requires_grad_(True)
        for module in sharded:
            module.reshard()

    def _set_trainable(self, trainable: bool) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(trainable)
            parameter.grad = None


def check_allows_unused(model: nn.Module) -> None:
    """Raise :class:`ConfigError` if a distributed ``model`` would wait for gradients of frozen parameters."""
    if is_model_wrapper(model) and not getattr(model, 'find_unused_parameters', True):
        raise ConfigError(
            'parameters that are frozen for a while need find_unused_parameters=True on several processes; '
            "write model_wrapper_cfg=dict(type='MMDistributedDataParallel', find_unused_parameters=True)"
        )
