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
#: Keys of the weights in published checkpoints, the best set first.
WEIGHT_KEYS = ('params_ema', 'params', 'state_dict')

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

    They are in ``params_ema``, ``params`` or ``state_dict``, the first of these that exists, or at the top level. The
    prefix ``module.`` of data-parallel wrappers is removed.

    Raises:
        CheckpointError: If there is no dict of tensors.
    """
    weights = next((checkpoint[key] for key in WEIGHT_KEYS if key in checkpoint), checkpoint)
    if not isinstance(weights, Mapping) or not weights:
        raise CheckpointError(f'expected a dict of weights in the checkpoint, found {_summary(weights)}')
    others = [str(name) for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(
            f'expected tensors under {", ".join(WEIGHT_KEYS)} or at the top of the checkpoint, '
            f'found other values: {", ".join(others[:5])}'
        )
    return {name.removeprefix('module.'): tensor for name, tensor in weights.items()}


def _summary(value: Any) -> str:
    return f'an empty {type(value).__name__}' if isinstance(value, Mapping) else f'a {type(value).__name__}'


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
