"""Chooses among the backends of an operator, and explains the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.ops.trial_outcomes import find_outcome
from vrtspike.ops.trials import Outcome, Trial


@dataclass(frozen=True)
class Backend:
    """One implementation of an operator, and the inputs that it supports.

    Args:
        name: Its name in configs.
        run: The implementation.
        devices: Device types it runs on; empty means all.
        dtypes: Element types it computes in; empty means all floating ones.
        backward: Device types on which gradients flow through it; None means all.
        missing: Returns why it cannot be used here, or None.
    """

    name: str
    run: Callable[..., Tensor]
    devices: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    backward: tuple[str, ...] | None = None
    missing: Callable[[], str | None] = lambda: None

    def refusal(self, tensor: Tensor) -> str | None:
        """Return why this backend does not support ``tensor``, or None if it does."""
        if self.devices and tensor.device.type not in self.devices:
            return f'runs on {", ".join(self.devices)}, not {tensor.device.type}'
        if self.dtypes and tensor.dtype not in self.dtypes:
            return f'computes in {", ".join(map(str, self.dtypes))}, not {tensor.dtype}'
        trained = torch.is_grad_enabled() and tensor.requires_grad
        if trained and self.backward is not None and tensor.device.type not in self.backward:
            return f'has no backward pass on {tensor.device.type}'
        return self.missing()


@dataclass(frozen=True)
class PairBackend(Backend):
    """A backend that may also compute what the next operator would compute from its result.

    Args:
        pair: Returns both results from one kernel; None if the backend has no such kernel.
    """

    pair: Callable[..., tuple[Tensor, Tensor]] | None = None


class Request(NamedTuple):
    """What a call asks of the backends of an operator."""

    wanted: str = 'auto'
    """A backend's name or 'auto'; :func:`use_backends` overrides it."""
    trial: Trial | None = None
    """Compares the backends on this call, once; without it, the first that serves is taken as the fastest."""
    fits: Callable[[Backend], bool] = lambda backend: True
    """With 'auto', whether a backend may be used at all."""


ANY_BACKEND = Request()


class Operator:
    """An operator with several backends, fastest first. The last one, the reference, supports every input.

    Args:
        name: The operator's name in messages and in :func:`use_backends`.
        backends: Its implementations in order of preference.
    """

    def __init__(self, name: str, backends: tuple[Backend, ...]) -> None:
        self.name = name
        self.backends = backends
        self.wanted = 'auto'
        self.choices: dict[str, str] = {}
        """For logs: the choices so far with their reasons, by device, element type and whether gradients are needed."""
        self.outcomes: dict[tuple[torch.device, str], Outcome] = {}
        """What trials have found in this process, by device and case."""

    def choose(self, tensor: Tensor, request: Request = ANY_BACKEND) -> Backend:
        """Return the backend for ``tensor``: the requested one, or with 'auto' the fastest that supports it.

        Args:
            tensor: The operator's first argument.
            request: What the call asks for.

        Raises:
            ConfigError: The requested backend does not support ``tensor``.
        """
        backend = self.select(tensor, request)
        if not torch.compiler.is_compiling():
            self._record(backend, tensor, self._requested(request.wanted), request.trial)
        return backend

    def select(self, tensor: Tensor, request: Request = ANY_BACKEND) -> Backend:
        """Return what :meth:`choose` would, without recording the choice."""
        wanted = self._requested(request.wanted)
        if wanted == 'auto':
            serving = (each for each in self.backends if request.fits(each) and each.refusal(tensor) is None)
            if request.trial is None:
                return next(serving)
            return self._outcome(tensor, request.trial).best(list(serving), self.backends[-1])
        backend = self.find(wanted)
        refusal = backend.refusal(tensor)
        if refusal:
            raise ConfigError(f"{self.name}: backend '{wanted}' cannot be used here: it {refusal}")
        return backend

    def _outcome(self, tensor: Tensor, trial: Trial) -> Outcome:
        """Return the outcome of trials of all backends but the reference, which is the slowest."""
        case = (trial.device, trial.case)
        if case not in self.outcomes:
            *candidates, reference = self.backends
            candidates = [backend for backend in candidates if backend.refusal(tensor) is None]
            found = find_outcome(self.name, candidates, reference, trial) if len(candidates) > 1 else Outcome()
            self.outcomes[case] = found
        return self.outcomes[case]

    def _requested(self, wanted: str) -> str:
        return self.wanted if self.wanted != 'auto' else wanted

    def _record(self, chosen: Backend, tensor: Tensor, wanted: str, trial: Trial | None) -> None:
        """Record a choice the first time it is made."""
        trained = 'training' if torch.is_grad_enabled() and tensor.requires_grad else 'inference'
        case = f'{tensor.device.type}, {str(tensor.dtype).removeprefix("torch.")}, {trained}, {wanted}'
        outcome = self.outcomes.get((trial.device, trial.case)) if trial and wanted == 'auto' else None
        measured = outcome not in (None, Outcome())
        if measured:
            case = f'{tensor.device.type}, {trial.case}, {wanted}'
        if case in self.choices:
            return
        faster = self.backends[: self.backends.index(chosen)] if wanted == 'auto' else ()
        reasons = [f"'{backend.name}' {backend.refusal(tensor)}" for backend in faster if backend.refusal(tensor)]
        why = 'requested' if wanted != 'auto' else '; '.join(reasons) or 'the fastest backend'
        self.choices[case] = f"'{chosen.name}' ({outcome if measured else why})"

    def explain(self, tensor: Tensor) -> dict[str, str]:
        """Return for every backend 'chosen', 'serves', or why it does not support ``tensor``."""
        chosen = self.choose(tensor).name
        return {
            backend.name: 'chosen' if backend.name == chosen else backend.refusal(tensor) or 'serves'
            for backend in self.backends
        }

    def find(self, name: str) -> Backend:
        """Return the backend called ``name``; raises :class:`ConfigError` if there is none."""
        known = {backend.name: backend for backend in self.backends}
        if name not in known:
            raise ConfigError(f"{self.name} has no backend '{name}'{did_you_mean(name, [*known, 'auto'])}")
        return known[name]


@contextmanager
def use_backends(**names: str) -> Iterator[None]:
    """Use the named backends inside the ``with`` block, such as ``use_backends(deform_conv2d='reference')``."""
    from vrtspike.ops import OPERATORS

    unknown = [name for name in names if name not in OPERATORS]
    if unknown:
        raise ConfigError(f"no operator is called '{unknown[0]}'{did_you_mean(unknown[0], OPERATORS)}")
    for operator, backend in names.items():
        if backend != 'auto':
            OPERATORS[operator].find(backend)
    before = {name: OPERATORS[name].wanted for name in names}
    try:
        for operator, backend in names.items():
            OPERATORS[operator].wanted = backend
        yield
    finally:
        for operator, backend in before.items():
            OPERATORS[operator].wanted = backend
