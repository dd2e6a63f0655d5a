"""The errors users see: one message that says what was found, what was expected and what to do."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real


class VrtSpikeError(ValueError):
    """An error that the user can fix. Tools print only its message and exit with ``exit_status``."""

    exit_status = 1


class ConfigError(VrtSpikeError):
    """A config, an override or an argument of a constructor is invalid or contradicts another."""


class RegistryError(VrtSpikeError):
    """A name in a registry is unknown or taken, or a part breaks the contract of its registry."""


class DataError(VrtSpikeError):
    """A data set, a spike file or a clip is missing, damaged or inconsistent."""


class CheckpointError(VrtSpikeError):
    """A checkpoint is missing, unsafe to load, or does not fit the network."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is truncated or its bytes were altered; an earlier one may be intact."""


class FolderInUseError(VrtSpikeError):
    """Another training is writing to the run folder."""


class TrainingStopped(VrtSpikeError):
    """A training was asked to stop and has saved a checkpoint; the same command with ``--resume`` continues it."""

    exit_status = 75
    """EX_TEMPFAIL of sysexits.h: try again later."""


class TrainingError(VrtSpikeError):
    """A training cannot continue: a non-finite loss, no memory, a full disk or a dead worker ended it."""


class LogError(VrtSpikeError):
    """A log is missing, contains nothing that can be read, or cannot be compared with another."""


ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), 'free some space, or choose another folder'),
    **dict.fromkeys((errno.EACCES, errno.EPERM), 'change its permissions, or choose another path'),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), 'a file is where a folder is expected; choose another path'),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), 'close other programs, or raise the limit with ulimit -n'),
    **dict.fromkeys((errno.EIO, errno.ESTALE), 'check the disk or the network drive'),
    errno.EROFS: 'choose a folder that is not mounted read-only',
    errno.EISDIR: 'expected a file, found a folder',
    errno.ENOENT: 'check the path',
    errno.ENAMETOOLONG: 'choose a shorter path',
    errno.ELOOP: 'its links refer to each other; choose another path',
    errno.ENOMEM: 'close other programs, or work on less at once',
}
"""What to do about system errors, by error number."""


def explain_os_error(error: OSError) -> str:
    """Return one line that says which file failed, why, and what to do.

    >>> explain_os_error(FileNotFoundError(errno.ENOENT, 'No such file or directory', 'clip.mp4'))
    'clip.mp4: No such file or directory: check the path'
    """
    reason = error.strerror or ' '.join(str(error).split()) or type(error).__name__
    if error.filename is None and 'No usable temporary directory' in reason:
        return f'{reason}: set TMPDIR to a folder that can be written'
    if error.filename is None and error.errno == errno.ENOENT:
        return f'{reason}: the working directory was removed; change to another one'
    path = '' if error.filename is None else f'{os.fsdecode(error.filename)}: '
    advice = f': {ADVICE[error.errno]}' if error.errno in ADVICE else ''
    return f'{path}{reason}{advice}'


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device or the host ran out of memory."""
    # PyTorch raises OutOfMemoryError for a GPU and a plain RuntimeError for the host.
    kind = type(error).__name__
    return isinstance(error, MemoryError) or kind == 'OutOfMemoryError' or "can't allocate memory" in str(error)


def listed(problems: Sequence[str]) -> str:
    """Return a text that says how many problems there are, and has each in a line of its own.

    >>> listed(['x: unknown', 'y: missing'])
    '2 problems\\n  x: unknown\\n  y: missing'
    """
    count = 'one problem' if len(problems) == 1 else f'{len(problems)} problems'
    return '\n  '.join([count, *problems])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` naming the closest of ``known``, or all of them if none is close.

    >>> did_you_mean('lernable', ['learnable', 'fixed'])
    "; did you mean 'learnable'?"
    """
    known = sorted(set(map(str, known)))
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), lowered, n=3, cutoff=0.6)
    if close:
        return f'; did you mean {" or ".join(repr(lowered[match]) for match in close)}?'
    return f'; known: {", ".join(known)}' if known else '; nothing is known here'


def require_positive(owner: str, **numbers: float) -> None:
    """Raise :class:`ConfigError` unless all ``numbers`` are finite and above zero.

    >>> require_positive('CharbonnierLoss', delta=1e-3)
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < float('inf'):
            raise ConfigError(f'{owner}: {name}={value!r}; expected a number above zero')


def require_positive_integers(owner: str, **numbers: int) -> None:
    """Raise :class:`ConfigError` unless all ``numbers`` are integers above zero.

    >>> require_positive_integers('SpikeEncoder3D', bins=32, scales=4)
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ConfigError(f'{owner}: {name}={value!r}; expected an integer above zero')


def describe(error: Exception) -> str:
    """Return the type and the first line of an error."""
    first, _, _ = str(error).strip().partition('\n')
    return f'{type(error).__name__}: {first}' if first else type(error).__name__
