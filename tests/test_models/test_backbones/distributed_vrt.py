"""One of the processes of test_vrt_speed.py: iterations in which each chooses what to recompute.

python distributed_vrt.py copied|copied_with_unused|sharded
"""

import sys

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from vrtspike.engine.fully_sharded import members
from vrtspike.models import VRT
from vrtspike.runtime.distributed import gather, process_group
from vrtspike.testing.sweep import TINY_BACKBONE

SMALL = TINY_BACKBONE | dict(img_size=[3, 16, 16], window_size=[3, 4, 4], depths=[2] * 7 + [1], drop_path_rate=0.0)


def network(**options):
    torch.manual_seed(0)
    model = VRT(**SMALL, **options)
    nn.init.normal_(model.conv_last.weight, std=0.1)
    return model.train()


def wrapped(model, wrapping):
    if wrapping != 'sharded':
        return DistributedDataParallel(model, find_unused_parameters=wrapping == 'copied_with_unused')
    mesh = init_device_mesh('cpu', (2,))
    for part in members(model):
        fully_shard(part, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def gradients(model, wrapper):
    """Return the gradients of the second iteration: data parallelism orders its buckets after the first."""
    clip = torch.rand(1, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        model.zero_grad()
        out = wrapper(clip)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [gather(weight.grad) for weight in model.parameters() if weight.grad is not None]


def main(wrapping):
    alone = network(checkpointing='none')
    expected = gradients(alone, alone)
    budget = 0.0 if torch.distributed.get_rank() else 1e6
    model = network(checkpointing='auto', checkpoint_budget_mib=budget)
    found = gradients(model, wrapped(model, wrapping))
    (choice,) = model.memory_fit.choices.values()
    print(choice)
    differences = torch.stack([(a - b).abs().max() for a, b in zip(found, expected, strict=True)])
    print('largest difference', float(differences.max()))  # NaN if one is: Python's max would ignore it


if __name__ == '__main__':
    with process_group('pytorch'):
        main(*sys.argv[1:])
