"""Checkpoint files: loaded as weights only unless they are trusted, and written atomically."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from vrtspike.errors import ADVICE, CheckpointError, DamagedCheckpointError, explain_os_error
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.device import MIB

#: Name of the file backend that a checkpoint hook's ``backend_args=dict(backend=...)`` selects.
ATOMIC_BACKEND = 'written_aside'
#: Keys under which programs save weights, alone or nested; averaged weights come first, because they restore best.
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
#: Parts of names that are added by torch.compile, FSDP and activation checkpointing.
WRAPPERS = frozenset(('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'))
#: Prefix that data-parallel and averaging wrappers add to all names.
DATA_PARALLEL = 'module.'
SHOWN_KEYS = 5
MAX_NESTING = 50

ARRAY = 'numpy.ndarray'
"""Replaces the class in a pickle. Only :func:`_empty_array` accepts it."""
PLAIN_KINDS = 'biufcSU'
"""Kinds of NumPy types without references and fields."""


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
    try:
        if not path.is_file():
            raise CheckpointError(f'checkpoint {path} does not exist or is not a file; check the path')
        _verify_archive(path)
        checkpoint = _torch_load(path, trust, map_location)
        _verify_sizes(checkpoint, path.stat().st_size)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged or malicious file can make the readers of zip and pickle fail in any way
        if trust and isinstance(error, (AttributeError, ImportError)):
            raise CheckpointError(f'checkpoint {path} needs code that is not installed here: {error}') from error
        if isinstance(error, OSError) and error.errno in ADVICE:
            raise CheckpointError(f'cannot read the checkpoint {explain_os_error(error)}') from error
        raise _loading_error(path, error) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'checkpoint {path} contains a {type(checkpoint).__name__}, expected a dict of weights')
    return checkpoint


def _verify_archive(path: Path) -> None:
    """Raise if a zip archive has records that are longer than the file or whose checksum is wrong.

    torch checks neither. It writes records uncompressed, so only a crafted file can become larger in memory.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise zipfile.BadZipFile('its records are compressed, which torch.save never does')
        stated = sum(record.file_size for record in records)
        if stated > path.stat().st_size:
            raise zipfile.BadZipFile(f'its records state {stated} bytes')
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f'the checksum of {damaged} is wrong')


def _verify_sizes(checkpoint: Any, file_size: int) -> None:
    """Raise if a tensor is larger than the file: views with strides of 0 repeat a few bytes any number of times."""
    pending, seen = [checkpoint], set()
    while pending:
        value = pending.pop()
        if isinstance(value, torch.Tensor):
            if value.numel() * value.element_size() > file_size:
                raise ValueError(f'it states a tensor of the shape {tuple(value.shape)}')
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            pending.extend(value.values() if isinstance(value, Mapping) else value)


def _torch_load(path: Path, trust: bool, map_location: Any) -> Any:
    if trust:
        return torch.load(path, map_location=map_location, weights_only=False)
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'\nbytearray\n') >= 0:  # torch allows it, although bytearray(10**12) fills the memory
            raise pickle.UnpicklingError('GLOBAL builtins.bytearray')
    with torch.serialization.safe_globals(harmless_globals()):
        return torch.load(path, map_location=map_location, weights_only=True)


def _loading_error(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a file that could not be loaded because it needs code or is damaged."""
    needed = re.search(r'GLOBAL (\S+)', str(error))
    if needed:
        return CheckpointError(
            f'checkpoint {path} needs {needed.group(1)}, which is code, not weights, so nothing was loaded. '
            'If you trust the author of the file, load it with --trust-checkpoint'
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return DamagedCheckpointError(
        f'checkpoint {path} ({path.stat().st_size} bytes) is cut off, damaged or not a PyTorch checkpoint: '
        f'{reason[-1].strip()}. Copy or download it again'
    )


def harmless_globals() -> list[tuple[Any, str]]:
    """Return the classes and functions that MMEngine's own checkpoints need besides tensors, each with its name.

    Our functions replace those of NumPy and Python, and accept only the arguments in those checkpoints.
    """
    found = [
        # numpy 1 and numpy 2 have these two under different names.
        (_empty_array, 'numpy.core.multiarray._reconstruct'),
        (_empty_array, 'numpy._core.multiarray._reconstruct'),
        (_scalar, 'numpy.core.multiarray.scalar'),
        (_scalar, 'numpy._core.multiarray.scalar'),
        (_plain_dtype, 'numpy.dtype'),
        (ARRAY, 'numpy.ndarray'),
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        # A history is pickled with its statistics as attributes.
        (_history_statistic, 'builtins.getattr'),
    ]
    # A pickle may set the state of objects of these classes. It cannot name them, since a name ends at a newline, and
    # so cannot call them.
    kinds = [np.ndarray, *{type(np.dtype(code)) for code in np.typecodes['All'] if np.dtype(code).kind in PLAIN_KINDS}]
    return found + [(kind, f'{kind.__name__}\n') for kind in kinds]


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if (kind, shape, code) != (ARRAY, (0,), b'b'):
        raise pickle.UnpicklingError(f'an array is made from {shape!r} and {code!r}')
    return np.zeros(0, np.int8)


def _plain_dtype(code: Any, *rest: Any) -> np.dtype:
    if not isinstance(code, str) or np.dtype(code).kind not in PLAIN_KINDS:
        raise pickle.UnpicklingError(f'{code!r} is no type of plain numbers or text')
    return np.dtype(code)


def _scalar(dtype: Any, content: Any = None) -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes) or len(content) != dtype.itemsize:
        raise pickle.UnpicklingError(f'a number of the type {dtype!r} is made from other bytes')
    return np.frombuffer(content, dtype)[0]


def _history_statistic(owner: Any, name: str) -> Callable:
    """Replace ``getattr``, for the statistics of a log history only."""
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


def write_checkpoint_file(path: Path, content: Any) -> None:
    """Save ``content`` with :func:`torch.save`, through a buffer in memory.

    On a full disk, torch's own writer would raise a RuntimeError about file positions in place of an OSError.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def unwrap_state_dict(checkpoint: Mapping, source: str = 'the checkpoint') -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint by their names in the network.

    They may be at the top level or under :data:`WEIGHT_KEYS`, also nested. What ``torch.compile``, data-parallel and
    averaging wrappers add to names is removed.

    Args:
        checkpoint: The contents of a file.
        source: Name of the file in errors.

    Raises:
        CheckpointError: If there is no dict of tensors.
    """
    weights = _find_weights(checkpoint, set())
    if weights is None:
        found = [f'{key} ({type(value).__name__})' for key, value in checkpoint.items() if not _is_tensor(value)]
        raise CheckpointError(
            f'{source} contains no weights, but {", ".join(found[:SHOWN_KEYS]) or "an empty dict"}: expected '
            f'tensors by name, alone or under {", ".join(WEIGHT_KEYS)}'
        )
    unusual = [name for name, tensor in weights.items() if tensor.layout != torch.strided or tensor.is_meta]
    if unusual:
        raise CheckpointError(f'{source}: {unusual[0]} is sparse or has no values, expected a dense tensor')
    return _without_wrappers(weights)


def _find_weights(value: Any, seen: set[int]) -> Mapping[str, torch.Tensor] | None:
    if not isinstance(value, Mapping) or not value or id(value) in seen or len(seen) == MAX_NESTING:
        return None
    seen.add(id(value))
    if all(isinstance(name, str) and _is_tensor(each) for name, each in value.items()):
        return value
    found = (_find_weights(value[key], seen) for key in WEIGHT_KEYS if key in value)
    return next((weights for weights in found if weights is not None), None)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _without_wrappers(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with plain names, and without the counters that averaged models add."""
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
