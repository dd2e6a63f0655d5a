"""Weights, gradients and optimizer state sharded over the processes, with the checkpoints of an unsharded run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.device import get_device
from mmengine.dist import broadcast, is_main_process
from mmengine.registry import STRATEGIES
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from vrtspike.errors import ConfigError
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.distributed import gather, shard_like


@STRATEGIES.register_module()
class FullyShardedStrategy(DDPStrategy):
    """Trains with torch's ``fully_shard`` (FSDP2) in MMEngine's ``FlexibleRunner``, on GPUs or in gloo processes.

    Each part of the network (``backbone.stage1``, ``fusion.stage1``, ...) gathers its weights when it runs and frees
    them afterwards. MMEngine's ``FSDPStrategy`` wraps FSDP1, which is deprecated, clips the gradients of each process
    by a separate norm, and cannot save the optimizer without a GPU.

    Checkpoints contain whole tensors under the names of the unsharded network. A run may be resumed with another number
    of processes, with or without sharding.

    Args:
        reshard_after_forward: Free the gathered weights after the forward pass too. This saves memory, but the
            backward pass gathers them again.
        **kwargs: Arguments of MMEngine's ``DDPStrategy``.

    Raises:
        ConfigError: If this process was started without others.
    """

    def __init__(self, reshard_after_forward: bool = True, **kwargs: Any) -> None:
        if not torch.distributed.is_initialized():
            raise ConfigError(
                'FullyShardedStrategy shards the network over several processes: '
                'start them with tools/dist_train.sh CONFIG PROCESSES'
            )
        super().__init__(**kwargs)
        self.reshard_after_forward = reshard_after_forward

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        device = get_device()
        model = self.convert_model(model.to(device))
        for tensor in (*model.parameters(), *model.buffers()):
            broadcast(tensor.detach())
        mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
        for part in parts(model):
            fully_shard(part, mesh=mesh, reshard_after_forward=self.reshard_after_forward)
        return fully_shard(model, mesh=mesh)

    def model_state_dict(self) -> dict[str, Tensor]:
        """Return the whole weights on the CPU. All processes must call this together."""
        return map_tensors(self.model.state_dict(), gather_on_cpu)

    def optim_state_dict(self) -> dict[str, Any]:
        """Return the whole state of the optimizer on the CPU. All processes must call this together."""
        return map_tensors(super().optim_state_dict(), gather_on_cpu)

    def load_model_state_dict(self, state_dict: dict[str, Tensor], *, strict: bool = False, **kwargs: Any) -> None:
        """Load whole weights."""
        own = self.model.state_dict()
        sharded = {name: shard_like(tensor, own[name]) for name, tensor in state_dict.items() if name in own}
        super().load_model_state_dict({**state_dict, **sharded}, strict=strict, **kwargs)

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the whole state of the optimizer, saved with or without sharding."""
        parameters = [p for group in self.optim_wrapper.optimizer.param_groups for p in group['params']]
        state = {
            i: map_tensors(values, lambda tensor, like=parameters[i]: shard_like(tensor, like))
            for i, values in state_dict['state'].items()
        }
        super().load_optim_state_dict({**state_dict, 'state': state})

    def save_checkpoint(self, filename: str, **options: Any) -> None:
        """Gather on all processes and write on the main one, atomically."""
        if is_main_process():
            with atomic_write(filename) as temporary:
                SingleDeviceStrategy.save_checkpoint(self, str(temporary), **options)
            return
        self.model_state_dict()
        if options.get('save_optimizer', True):
            self.optim_state_dict()


def parts(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules with parameters two levels below ``model``. Containers are replaced by their members."""
    for child in members(model):
        yield from members(child)


def members(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the children of ``module`` that have parameters; in place of a container, yield its members."""
    for child in module.children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from members(child)
        elif any(True for _ in child.parameters()):
            yield child


def gather_on_cpu(tensor: Tensor) -> Tensor:
    """Return the whole of a tensor that may be sharded, on the CPU."""
    return gather(tensor.detach()).cpu()


def map_tensors(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``function`` to every tensor in nested dicts and lists; return the result."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(value, function) for key, value in tree.items()}
    if isinstance(tree, list):
        return [map_tensors(value, function) for value in tree]
    return tree
