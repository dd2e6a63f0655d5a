"""Checkpoint files: loaded as weights only unless they are trusted, and written atomically."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from vrtspike.errors import CheckpointError, DamagedCheckpointError
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.device import MIB

#: Name of the file backend that a checkpoint hook's ``backend_args=dict(backend=...)`` selects.
ATOMIC_BACKEND = 'written_aside'
#: Keys under which programs save weights, alone or nested; averaged weights come first, as the best set.
WEIGHT_KEYS = (
    'params_ema',
    'model_ema',
    'state_dict_ema',
    'ema',
    'params',
    'state_dict',
    'model_state_dict',
    'model',
    'netG',
    'net_g',
    'generator',
    'network',
    'net',
    'module',
    'weights',
)
#: Parts of names that come from wrappers: of torch.compile, FSDP and activation checkpointing.
WRAPPERS = frozenset(('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'))
#: What data-parallel and averaging wrappers put before all names.
DATA_PARALLEL = 'module.'
SHOWN_KEYS = 5

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError)
"""Errors of Python's reader for an archive with altered bytes."""


def load_checkpoint_file(path: str | os.PathLike, trust: bool = False, map_location: Any = 'cpu') -> dict:
    """Return the contents of a checkpoint file.

    Args:
        path: A local file.
        trust: Unpickle everything in the file, including code. By default only tensors, plain Python values, and the
            arrays and log histories of MMEngine's own checkpoints are read, and no code in the file can run.
        map_location: As for ``torch.load``.

    Raises:
        DamagedCheckpointError: If the file is cut off or altered.
        CheckpointError: If the file is missing, is no dict, or needs code and ``trust`` is not set.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f'checkpoint {path} does not exist or is not a file; check the path')
    try:
        _verify_checksums(path)
        checkpoint = _torch_load(path, trust, map_location)
    except (AttributeError, ImportError) as error:
        raise CheckpointError(f'checkpoint {path} needs code that is not installed here: {error}') from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError, *DAMAGED_ZIP) as error:
        raise _loading_error(path, error) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'checkpoint {path} holds a {type(checkpoint).__name__}, expected a dict of weights')
    return checkpoint


def _verify_checksums(path: Path) -> None:
    """Raise if the checksum of a record is wrong. torch does not check it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f'the checksum of {damaged} is wrong')


def _torch_load(path: Path, trust: bool, map_location: Any) -> Any:
    if trust:
        return torch.load(path, map_location=map_location, weights_only=False)
    with torch.serialization.safe_globals(harmless_globals()):
        return torch.load(path, map_location=map_location, weights_only=True)


def _loading_error(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a file that could not be loaded because it needs code or is damaged."""
    needed = re.search(r'GLOBAL (\S+)', str(error))
    if needed:
        return CheckpointError(
            f'checkpoint {path} needs {needed.group(1)}, which is code and not weights, so nothing of it was loaded. '
            'If you trust the author of the file, load it with --trust-checkpoint'
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return DamagedCheckpointError(
        f'checkpoint {path} ({path.stat().st_size} bytes) is cut off, damaged or no PyTorch checkpoint: '
        f'{reason[-1].strip()}. Copy or download it again'
    )


def harmless_globals() -> list[tuple[Callable, str]]:
    """Return what the pickles of MMEngine's own checkpoints contain besides tensors: classes and functions, by name."""
    found = [
        # numpy 1 and numpy 2 have these two under different names.
        (np.zeros(1).__reduce__()[0], 'numpy.core.multiarray._reconstruct'),
        (np.zeros(1).__reduce__()[0], 'numpy._core.multiarray._reconstruct'),
        (np.float64(0).__reduce__()[0], 'numpy.core.multiarray.scalar'),
        (np.float64(0).__reduce__()[0], 'numpy._core.multiarray.scalar'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        # A history is pickled with its statistics as attributes. This getattr allows those alone.
        (_history_statistic, 'builtins.getattr'),
    ]
    kinds = {type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O'}
    return found + [(kind, f'numpy.dtypes.{kind.__name__}') for kind in kinds]


def _history_statistic(owner: Any, name: str) -> Callable:
    """Do what ``getattr`` does, but only for the statistics of a log history."""
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'GLOBAL builtins.getattr was asked for {name!r} of {owner!r}')


def use_safe_checkpoints(trust: bool = False) -> None:
    """Make MMEngine load every checkpoint through :func:`load_checkpoint_file`.

    MMEngine's own loader unpickles everything if loading the weights alone fails, and it may download files.
    """

    # MMEngine logs the loader's name from its tenth character on: 'disk'.
    def load_from_disk(filename: str, map_location: Any = None) -> dict:
        if '://' in filename:
            raise CheckpointError(f'checkpoint {filename} is not a local file; download it and name the file')
        return load_checkpoint_file(filename, trust, map_location or 'cpu')

    CheckpointLoader.register_scheme(list(CheckpointLoader._schemes), loader=load_from_disk, force=True)


def unwrap_state_dict(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint by their names in the network.

    They are at the top level or under :data:`WEIGHT_KEYS`, nested in any way. What ``torch.compile``, data-parallel and
    averaging wrappers add to names is removed.

    Raises:
        CheckpointError: If there is no dict of tensors.
    """
    weights = _find_weights(checkpoint)
    if weights is None:
        found = [f'{key} ({type(value).__name__})' for key, value in checkpoint.items() if not _is_tensor(value)]
        raise CheckpointError(
            f'the checkpoint holds no weights, but {", ".join(found[:SHOWN_KEYS]) or "an empty dict"}: expected '
            f'tensors by name, alone or under {", ".join(WEIGHT_KEYS)}'
        )
    return _without_wrappers(weights)


def _find_weights(value: Any, depth: int = 6) -> Mapping[str, torch.Tensor] | None:
    if not isinstance(value, Mapping) or not value or not depth:
        return None
    if all(isinstance(name, str) and _is_tensor(each) for name, each in value.items()):
        return value
    found = (_find_weights(value[key], depth - 1) for key in WEIGHT_KEYS if key in value)
    return next((weights for weights in found if weights is not None), None)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _without_wrappers(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with plain names, and without the counters that averaged models have beside the network."""
    weights = {plain_name(name): tensor for name, tensor in weights.items()}
    named = [name for name, tensor in weights.items() if tensor.ndim]
    while named and all(name.startswith(DATA_PARALLEL) for name in named):
        weights = {
            name.removeprefix(DATA_PARALLEL): each for name, each in weights.items() if name.startswith(DATA_PARALLEL)
        }
        named = [name for name, tensor in weights.items() if tensor.ndim]
    return weights


def plain_name(name: str, wrappers: frozenset[str] = WRAPPERS) -> str:
    """Return the name of a tensor without the parts that wrappers add."""
    return '.'.join(part for part in name.split('.') if part not in wrappers)


class AtomicBackend(LocalBackend):
    """Local files, written atomically: if a write fails, an existing file of that name is unchanged."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write ``obj`` to ``filepath``.

        Raises:
            CheckpointError: If it cannot be written, for instance because the disk is full.
        """
        try:
            with atomic_write(filepath) as aside:
                aside.write_bytes(obj)
        except OSError as error:
            raise CheckpointError(
                f'cannot write {filepath} ({len(obj) / MIB:.1f} MiB): {error.strerror}; '
                'earlier checkpoints are untouched. Free some space or choose another --work-dir'
            ) from error


register_backend(ATOMIC_BACKEND, AtomicBackend, force=True)
