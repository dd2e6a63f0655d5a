"""Checks and times the backends of an operator on the device in use."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import Tensor

from vrtspike.errors import VrtSpikeError
from vrtspike.ops.rows import Order
from vrtspike.runtime.device import call_seconds, synchronize

if TYPE_CHECKING:
    from vrtspike.ops.backends import Backend

TOLERANCES = {torch.float64: 1e-6, torch.float32: 5e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""The largest error of a right result, relative to its largest value; float32 may be computed in TF32."""

SMALL_ROWS = 100
"""Rows of a small input."""

ROUNDS = 3
CALLS = 3
"""Calls in a round, without waiting between them: in a network they are not waited for either."""


@dataclass(frozen=True)
class Trial:
    """A call on which the backends of an operator are compared.

    Args:
        shape: The class of its shape. Calls of one class, type and purpose share a choice.
        device: Where it runs.
        dtype: The type it computes in.
        trains: Whether gradients are needed.
        small: Returns the values of a backend on a small input of this class, and its gradients if they are needed. The
            second argument converts the inputs: the reference computes in float64.
        real: Calls a backend on the real input, with its backward pass if gradients are needed.
    """

    shape: str
    device: torch.device
    dtype: torch.dtype
    trains: bool
    small: Callable[[Backend, Callable[[Tensor], Tensor]], list[Tensor]]
    real: Callable[[Backend], object]

    @property
    def case(self) -> str:
        """What calls must have in common to share a choice, besides the device."""
        purpose = 'training' if self.trains else 'inference'
        return f'{str(self.dtype).removeprefix("torch.")}, {purpose}, {self.shape}'


class Outcome(msgspec.Struct, frozen=True):
    """What the trials of an operator's backends found, by the names of the backends."""

    milliseconds: dict[str, float] = {}
    """Of one call; the fastest is used."""
    failures: dict[str, str] = {}
    """Why a backend must not be used: it crashed, or its results are wrong."""
    without_memory: tuple[str, ...] = ()
    """Backends that could not be timed in the memory that was free."""

    def best(self, serving: Sequence[Backend], last_resort: Backend) -> Backend:
        """Return the fastest of the backends; without times the first one that did not fail."""
        right = [backend for backend in serving if backend.name not in self.failures] or [last_resort]
        return min(right, key=lambda backend: self.milliseconds.get(backend.name, float('inf')))

    def __str__(self) -> str:
        times = sorted(self.milliseconds.items(), key=lambda item: item[1])
        parts = [f'{name} {time:.3g} ms' for name, time in times]
        parts += [f'{name} without free memory' for name in self.without_memory]
        parts += [f"'{name}' {why}" for name, why in self.failures.items()]
        return 'measured: ' + (', '.join(parts) or 'nothing')


def outcome_of(backends: Iterable[Backend], reference: Backend, trial: Trial, guard: Callable) -> Outcome:
    """Check and time the backends.

    Args:
        backends: Those to try.
        reference: Its results are right.
        trial: The call.
        guard: ``guard(name)`` is a context around every trial, which learns if one ends the process.

    Raises:
        VrtSpikeError: A backend has left the device in a state in which nothing can be computed.
    """
    milliseconds, failures, without_memory = {}, {}, []
    with undisturbed():
        try:
            expected = trial.small(reference, Tensor.double)
        except torch.OutOfMemoryError:
            return Outcome(without_memory=tuple(backend.name for backend in backends))
        for backend in backends:
            with guard(backend.name):
                try:
                    wrong = difference(trial.small(backend, lambda x: x), expected, TOLERANCES[trial.dtype])
                    if wrong:
                        failures[backend.name] = wrong
                        continue
                    milliseconds[backend.name] = time_of(lambda b=backend: trial.real(b), trial.device)
                except torch.OutOfMemoryError:
                    without_memory.append(backend.name)
                except Exception as error:  # whatever a backend may raise, the others still work
                    failures[backend.name] = f'failed: {type(error).__name__}: {_first_line(error)}'
                    _check_device(backend.name, trial.device, error)
    return Outcome(milliseconds, failures, tuple(without_memory))


def difference(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> str | None:
    """Return how the values and gradients differ from the expected ones, or None if they are close enough."""
    for i, (left, right) in enumerate(zip(found, expected, strict=True)):
        error = float((left.double() - right.double()).abs().max() / right.abs().max().clamp_min(1e-30))
        if not error <= tolerance:  # also if it is NaN
            return f'gave wrong {"gradients" if i else "values"}: relative error {error:.2g}, allowed {tolerance:g}'
    return None


def time_of(call: Callable[[], object], device: torch.device) -> float:
    """Return how many milliseconds a call takes: the least of a few rounds, after a call that may compile."""
    call()
    seconds = [call_seconds(lambda: [call() for _ in range(CALLS)], device) for _ in range(ROUNDS)]
    return min(seconds) / CALLS * 1e3


def values_and_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], *, trains: bool
) -> list[Tensor]:
    """Return the values of a function of ``inputs`` and, if it ``trains``, the gradients of the inputs.

    Gradients of the values are the same in every type, and their sums, the gradients of biases, are not near zero.
    """
    if not trains:
        return [function(*inputs)]
    leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
    out = function(*leaves)
    given = [leaf for leaf in leaves if leaf is not None]
    weights = torch.linspace(-0.5, 1, out.numel(), device=out.device).bfloat16()
    return [out.detach(), *torch.autograd.grad(out, given, weights.to(out.dtype).view_as(out))]


def shuffled(device: torch.device) -> Order:
    """Return an order of a small input."""
    positions = torch.randperm(SMALL_ROWS, generator=torch.Generator().manual_seed(0), device='cpu')
    return Order(positions.argsort().int().to(device), positions.int().to(device))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep trials apart from the graph that is being recorded, such as that of activation checkpointing."""
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        yield


def _check_device(name: str, device: torch.device, error: Exception) -> None:
    """Raise if the device computes no more after an error: some of CUDA's cannot be recovered from."""
    try:
        synchronize(device)
    except RuntimeError:
        raise VrtSpikeError(
            f"backend '{name}' broke {device} in its trial ({_first_line(error)}): start the command again, and it "
            'will not be used'
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), '')[:200]
