"""Turns errors that end a training into one message: what happened and what to do."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vrtspike.errors import ConfigError, TrainingError, VrtSpikeError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PEER_LOST = ('Connection closed by peer', 'Connection reset by peer', 'Connection was likely closed')


@contextmanager
def explained_errors(work_dir: str) -> Iterator[None]:
    """Turn errors of the machine into a :class:`TrainingError`, and those of a constructor into a :class:`ConfigError`.

    Errors of the machine are a full disk, a dead worker and a lost process. Other errors pass unchanged.
    """
    try:
        yield
    except VrtSpikeError:
        raise
    except Exception as error:
        part = part_being_built(error)
        if part is not None:
            raise ConfigError(f'{part} cannot be built from the config: {error}') from error
        explanation = explain(error, work_dir)
        if explanation is None:
            raise
        raise TrainingError(explanation) from error


def part_being_built(error: Exception) -> str | None:
    """Return which part rejected its arguments when MMEngine built it from the config; None if none did."""
    part = None
    if isinstance(error, (ValueError, TypeError, AssertionError)):
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == 'build_from_cfg':
                part = str(frame.f_locals['cfg'].get('type'))
            elif frame.f_code.co_name == 'build_dataloader':
                part = 'a data loader'
    return part


def explain(error: Exception, work_dir: str) -> str | None:
    """Return what an error means and what to do about it, or None if the machine did not cause it."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return (
            f'the disk is full: {error.filename or work_dir} could not be written ({error.strerror}). Checkpoints '
            'written so far are whole: free some space and resume with --resume, or keep fewer with '
            'default_hooks.checkpoint.max_keep_ckpts'
        )
    dead_worker = next((cause for cause in error_chain(error) if reports_dead_worker(cause)), None)
    if dead_worker is not None:
        text = str(dead_worker).strip().partition('\n')[0] or type(dead_worker).__name__
        memory = 'shared memory (/dev/shm) ran out' if 'Bus error' in text else 'memory ran out'
        return (
            f'a process that reads data died ({text}). Most often {memory}: lower train_dataloader.num_workers or '
            'prefetch_factor, then resume with --resume'
        )
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in PEER_LOST):
        return 'another process of this training has ended; its own message says why. Resume with --resume'
    return None


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, then the errors that caused it or were being handled when it was raised.

    Torch reports a dead worker from a signal handler, so the error can appear in any line. An ``except`` around that
    line may replace it with another error.
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reports_dead_worker(error: BaseException) -> bool:
    """Return whether an error reports that a worker of a data loader has died.

    Torch raises such an error anywhere in the training, or when the loader cannot fetch a batch from the worker. An
    error inside a living worker is raised elsewhere, with the worker's own traceback.
    """
    if re.search(r'DataLoader worker .*(killed by signal|exited unexpectedly)', str(error)):
        return True
    return any(frame.name == '_try_get_data' for frame in traceback.extract_tb(error.__traceback__))
