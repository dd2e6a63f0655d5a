"""The training iteration of a config on the fake GPU: forward pass, backward pass and optimizer step."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from vrtspike.benchmarking.fake_gpu.attention import ChosenAttention
from vrtspike.benchmarking.fake_gpu.counter import StepCounter
from vrtspike.benchmarking.fake_gpu.device import fake_gpu
from vrtspike.benchmarking.fake_gpu.kernels import Operation
from vrtspike.benchmarking.training_step import Shape, build, input_shapes
from vrtspike.config.speed import fuse_optimizer
from vrtspike.ops import OPERATORS
from vrtspike.profiling.stages import listening
from vrtspike.profiling.timer import StageTimer, Timeline
from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB

HOST_DRAWS = 'bernoulli_'
"""The host draws which samples stochastic depth drops, from its own generator."""
READBACK = 'copy_ at runtime/readback.py'
"""Beginning of the line that copies what is logged; it is read after it has arrived."""


class PaperCost(msgspec.Struct, frozen=True, kw_only=True):
    """Costs on paper of several operations."""

    launches: int
    gb: float
    """Bytes read and written, in units of 10^9."""
    tflops: float
    model_ms: float
    """By the model of time of :mod:`vrtspike.benchmarking.fake_gpu.kernels`."""
    casts: int
    """Copies of a tensor to another type."""
    cast_gb: float


class PaperStep(msgspec.Struct, kw_only=True):
    """One training iteration on paper. The fields are the keys of the record."""

    config: str
    shape: list[int]
    """(B, T, H, W)."""
    precision: str
    total: PaperCost
    peak_memory_mib: float
    """Of tensors: weights, optimizer state, gradients and activations. A real GPU adds its context and libraries."""
    waits: dict[str, int]
    """Reads of values that the device has not computed yet, by line."""
    copies: dict[str, int]
    """Between host and device, by line, besides that of the batch."""
    host_operations: dict[str, int]
    """Operators on tensors of the host, by name."""
    phases: dict[str, PaperCost]
    stages: dict[str, PaperCost]
    parts: dict[str, PaperCost]
    """By the name of the part, over all stages."""
    operators: dict[str, PaperCost]
    lines: dict[str, PaperCost]
    """By the line of this package that calls the operators, or whose gradient they compute."""
    attention: dict[str, int]
    """Calls of PyTorch's attention, by the kernel that it chooses and why."""
    backends: dict[str, dict[str, str]]
    """The choices of our operators."""


def disturbances(step: PaperStep) -> list[str]:
    """Return what keeps the host from only launching: waits, copies and operators, besides what no GPU waits for."""
    copies = {line: count for line, count in step.copies.items() if not line.startswith(READBACK)}
    operators = {name: count for name, count in step.host_operations.items() if name != HOST_DRAWS}
    kinds = {'wait': step.waits, 'copy': copies, 'on the host': operators}
    return [f'{kind}: {count} x {what}' for kind, found in kinds.items() for what, count in found.items()]


def step_on_paper(name: str, config: Any, shape: Shape) -> PaperStep:
    """Run the training iteration of a config twice on the fake GPU and return what the second one costs.

    Stochastic depth drops nothing here.

    Args:
        name: Of the config, for the record.
        config: A loaded config. Gradients are not accumulated: every iteration ends with an optimizer step.
        shape: (B, T, H, W) of the batch.
    """
    init_default_scope('vrtspike')
    fuse_optimizer(config)
    model = build(config).train()
    with fake_gpu():
        to_fake_gpu(model)
        inputs = {name: torch.empty(size, device='cuda') for name, size in input_shapes(model, shape).items()}
        wrapper = build_optim_wrapper(model, config.optim_wrapper | {'accumulative_counts': 1})
        counter, attention = StepCounter(), ChosenAttention()
        for tensor in (*model.parameters(), *model.buffers(), *inputs.values()):
            counter.hold(tensor)
        timer = StageTimer(OperationClock(counter))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(timer.gradient_accumulated)
        with counter, attention, listening(timer):
            for _ in range(2):
                counter.reset()
                attention.choices.clear()
                timeline = train_step(model, wrapper, inputs, timer)
        precision = getattr(wrapper, 'cast_dtype', torch.float32)
    owned = list(operations_by_owner(timeline, counter.operations))
    return PaperStep(
        config=name,
        shape=list(shape),
        precision=str(precision).removeprefix('torch.'),
        total=cost_of(counter.operations),
        peak_memory_mib=round(counter.peak_bytes / MIB, 1),
        waits=dict(counter.waits),
        copies=dict(counter.copies),
        host_operations=dict(counter.host_operations),
        phases=grouped((phase_of(owner), operation) for owner, operation in owned),
        stages=grouped((owner.stage, operation) for owner, operation in owned),
        parts=grouped((owner.part[1:], operation) for owner, operation in owned if owner.part),
        operators=grouped((operation.name, operation) for operation in counter.operations),
        lines=grouped((operation.line, operation) for operation in counter.operations),
        attention=dict(attention.choices.most_common()),
        backends={name: dict(operator.choices) for name, operator in OPERATORS.items()},
    )


def to_fake_gpu(model: nn.Module) -> None:
    """Replace the parameters and buffers of a network by fake ones on the GPU. A shared tensor stays shared."""
    known: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in known:
            moved = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device='cuda')
            if isinstance(tensor, nn.Parameter):
                moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
            known[id(tensor)] = moved
        return known[id(tensor)]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: fake(tensor) for name, tensor in tensors.items() if tensor is not None})


def train_step(model: nn.Module, wrapper: Any, inputs: dict[str, Tensor], timer: StageTimer) -> Timeline:
    """Train one iteration as the training loop does, and return when each stage ran."""
    timer.start('other')
    with wrapper.optim_context(model):
        losses = model(**inputs, mode='loss')
    loss, _ = model.parse_losses(losses)
    wrapper.backward(loss)
    timer.rebase('optimizer')
    wrapper.step()
    wrapper.zero_grad()
    return timer.stop()


class OperationClock:
    """Counts operations in place of time, for a :class:`~vrtspike.profiling.timer.StageTimer`."""

    def __init__(self, counter: StepCounter) -> None:
        self.counter = counter

    def stamp(self) -> int:
        return len(self.counter.operations)

    def passed(self, stamp: int) -> bool:
        return True

    def elapsed_ms(self, start: int, end: int) -> float:
        return sum(operation.ms for operation in self.counter.operations[start:end])


def operations_by_owner(timeline: Timeline, operations: list[Operation]) -> Iterable[tuple[Owner, Operation]]:
    """Yield every operation with the stage, part and phase that it belongs to."""
    ends = [*(stamp for stamp, _ in timeline.marks[1:]), timeline.end]
    for (start, owner), end in zip(timeline.marks, ends, strict=True):
        yield from zip(itertools.repeat(owner), operations[start:end], strict=False)


def phase_of(owner: Owner) -> str:
    """Return the phase of an operation, or that it belongs to the optimizer."""
    return 'optimizer' if owner.stage == 'optimizer' else owner.phase


def cost_of(operations: Sequence[Operation]) -> PaperCost:
    """Return the summed costs of operations."""
    cast_bytes = sum(operation.casts * operation.bytes for operation in operations)
    return PaperCost(
        launches=sum(operation.launches for operation in operations),
        gb=round(sum(operation.bytes for operation in operations) / 1e9, 4),
        tflops=round(sum(operation.flops for operation in operations) / 1e12, 4),
        model_ms=round(sum(operation.ms for operation in operations), 4),
        casts=sum(operation.casts for operation in operations),
        cast_gb=round(cast_bytes / 1e9, 4),
    )


def grouped(named: Iterable[tuple[str, Operation]]) -> dict[str, PaperCost]:
    """Return the costs by name, largest first."""
    groups: dict[str, list[Operation]] = {}
    for name, operation in named:
        groups.setdefault(name, []).append(operation)
    costs = {name: cost_of(operations) for name, operations in groups.items()}
    return dict(sorted(costs.items(), key=lambda item: -item[1].model_ms))
