"""What the machine does to a training, as one message that says what happened and what to do."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vrtspike.errors import TrainingFault, VrtSpikeError

FULL = (errno.ENOSPC, errno.EDQUOT)
PEER_LOST = ('Connection closed by peer', 'Connection reset by peer', 'Connection was likely closed')


@contextmanager
def faults_explained(work_dir: str) -> Iterator[None]:
    """Turn a full disk, a dead worker and a lost process into a :class:`TrainingFault`; let other errors pass."""
    try:
        yield
    except VrtSpikeError:
        raise
    except Exception as error:
        explained = explain(error, work_dir)
        if explained is None:
            raise
        raise TrainingFault(explained) from error


def explain(error: Exception, work_dir: str) -> str | None:
    """Return what an error means for the user where it is the machine's, else None."""
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f'the disk is full: {error.filename or work_dir} could not be written ({error.strerror}). Checkpoints '
            'written so far are whole: free some space and go on with --resume, or keep fewer with '
            'default_hooks.checkpoint.max_keep_ckpts'
        )
    dead_worker = next((cause for cause in with_causes(error) if came_from_a_worker(cause)), None)
    if dead_worker is not None:
        text = str(dead_worker).strip().partition('\n')[0] or type(dead_worker).__name__
        memory = 'shared memory (/dev/shm) ran out' if 'Bus error' in text else 'memory ran out'
        return (
            f'a process that reads data died ({text}). Most often {memory}: lower train_dataloader.num_workers or '
            'prefetch_factor, then go on with --resume'
        )
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in PEER_LOST):
        return 'another process of this training has ended; its own message says why. Go on with --resume'
    return None


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised in place of.

    Torch reports a dead worker from a signal handler, so amid any line, whose own ``except`` may replace the error.
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def came_from_a_worker(error: BaseException) -> bool:
    """Return whether the error tells of a data loader's worker that died.

    Torch raises it wherever the training is, or the loader fails to fetch what the worker had made. What goes wrong
    inside of a worker that lives is raised elsewhere, with the worker's own traceback.
    """
    if re.search(r'DataLoader worker .*(killed by signal|exited unexpectedly)', str(error)):
        return True
    return any(frame.name == '_try_get_data' for frame in traceback.extract_tb(error.__traceback__))
