"""Which backend ``auto`` uses: the fastest of those that computed the right values and gradients on this device.

Trials are made at the first call of a kind, on the device that makes it. Their outcome is kept for later processes in
:func:`~vrtspike.runtime.device.cache_folder`, a file for each kind of call. The user's ``env_cfg.measure_backends`` or
``$VRTSPIKE_MEASURE_BACKENDS`` switches trials off, or on for CPUs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from vrtspike.errors import ConfigError
from vrtspike.ops.fatal_trials import fatal_trials, forget_fatal_trials, noted_trial
from vrtspike.ops.trials import Outcome, Trial, outcome_of
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.device import cache_folder, in_graph
from vrtspike.runtime.distributed import decided_by_main_process
from vrtspike.runtime.environment import describe_device, gpu_driver, versions

if TYPE_CHECKING:
    from vrtspike.ops.backends import Backend

VARIABLE = 'VRTSPIKE_MEASURE_BACKENDS'
WAIT = 300
"""Seconds that processes wait for the main one's trials; they compile kernels."""

_setting: bool | None = None


@contextmanager
def measure_backends(setting: bool | None) -> Iterator[None]:
    """Measure backends inside the ``with`` block, or not; None measures on GPUs. The environment variable wins.

    Raises:
        ConfigError: The setting is something else.
    """
    global _setting
    if setting not in (None, True, False):
        raise ConfigError(f'env_cfg.measure_backends is {setting!r}: expected True, False or None')
    before, _setting = _setting, setting
    try:
        yield
    finally:
        _setting = before


def measures(tensor: Tensor) -> bool:
    """Return whether ``auto`` compares the backends for ``tensor`` by trials.

    On CPUs it does so only on request: their order is known from measurements, and results stay those of the order.
    Nothing can be timed in compiled graphs, under dispatch modes (fake tensors, counters) and while a CUDA graph is
    captured. Deterministic algorithms come with a deterministic choice.

    Raises:
        ConfigError: The environment variable is neither 0 nor 1.
    """
    if in_graph():
        return False
    on_gpu, wanted = tensor.device.type == 'cuda', _wanted()
    if not (on_gpu if wanted is None else wanted and tensor.device.type in ('cpu', 'cuda')):
        return False
    if type(tensor) not in (Tensor, torch.nn.Parameter) or _len_torch_dispatch_stack():
        return False
    if torch.are_deterministic_algorithms_enabled():
        return False
    return not (on_gpu and torch.cuda.is_current_stream_capturing())


def find_outcome(operator: str, backends: Sequence[Backend], reference: Backend, trial: Trial) -> Outcome:
    """Return the outcome of trials on this device: a stored one, or that of trials made now.

    In training, the main process makes the trials and the others use what it found, so that all compute alike. In
    inference every process goes its own way, and makes its own.
    """

    def find() -> Outcome:
        return stored_outcome(operator, backends, reference, trial)

    if not trial.trains or get_world_size() == 1:
        return find()
    encoded = decided_by_main_process(f'{operator}, {trial.case}', lambda: msgspec.json.encode(find()), seconds=WAIT)
    if encoded is None:
        print_log(
            f'{operator} ({trial.case}): the main process has not measured it within {WAIT} s; using the usual order',
            'current',
        )
        return Outcome()
    return msgspec.json.decode(encoded, type=Outcome)


def stored_outcome(operator: str, backends: Sequence[Backend], reference: Backend, trial: Trial) -> Outcome:
    """Return the outcome in the cache folder, or make the trials and store theirs."""
    key = key_of(operator, [backend.name for backend in backends], trial)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    try:
        file = cache_folder() / 'backends' / f'{digest}.json'
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # no folder to write to: every process makes its own trials
        return outcome_of(backends, reference, trial, lambda name: nullcontext())
    outcome = read_outcome(file, key)
    if outcome is None:
        fatal = dict.fromkeys(fatal_trials(file), 'ended the process that tried it')
        tried = [backend for backend in backends if backend.name not in fatal]
        outcome = outcome_of(tried, reference, trial, lambda name: noted_trial(file, name))
        outcome = Outcome(outcome.milliseconds, outcome.failures | fatal, outcome.without_memory)
        print_log(f'{operator} ({trial.case}): {outcome}', 'current')
        if outcome.milliseconds or not outcome.without_memory:  # else there is nothing to keep
            _store(file, key, outcome)
    return outcome


def key_of(operator: str, backends: list[str], trial: Trial) -> dict:
    """Return everything that an outcome depends on."""
    return {
        'operator': operator,
        'case': trial.case,
        'backends': backends,
        'tf32': torch.backends.cuda.matmul.allow_tf32,
        'device': describe_device(trial.device),
        'driver': gpu_driver(),
        'software': _software(),
    }


def read_outcome(file: Path, key: dict) -> Outcome | None:
    """Return the outcome in a file; None if there is none for ``key``, or the file is damaged."""
    try:
        stored = json.loads(file.read_bytes())
        return msgspec.convert(stored['outcome'], Outcome) if stored['key'] == key else None
    except (OSError, ValueError, KeyError, TypeError):  # msgspec's errors are ValueErrors
        return None


def _wanted() -> bool | None:
    value = os.environ.get(VARIABLE)
    if value in (None, ''):
        return _setting
    if value not in ('0', '1'):
        raise ConfigError(f'${VARIABLE} is {value!r}: expected 1 to measure backends, or 0 for their fixed order')
    return value == '1'


def _store(file: Path, key: dict, outcome: Outcome) -> None:
    """Write an outcome, with which the notes of fatal trials are no longer needed; a full disk only costs trials."""
    with suppress(OSError):
        write_json(file, {'key': key, 'outcome': msgspec.to_builtins(outcome)})
        forget_fatal_trials(file)


@cache
def _software() -> dict[str, str | None]:
    """Return the versions of what backends are made of, and a hash of our own operators."""
    found = versions()
    for name in ('triton', 'torchvision'):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    sources = sorted(path for path in Path(__file__).parent.rglob('*') if path.suffix in ('.py', '.cpp', '.h'))
    hashed = hashlib.sha256(b'\0'.join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return found | {'cudnn': str(torch.backends.cudnn.version()), 'operators': hashed}
