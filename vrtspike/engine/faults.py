"""What the machine does to a training, as one message that says what happened and what to do."""

from __future__ import annotations

import errno
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
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise TrainingFault(
            f'the disk is full: {error.filename or work_dir} could not be written ({error.strerror}). Checkpoints '
            'written so far are whole: free some space and go on with --resume, or keep fewer with '
            'default_hooks.checkpoint.max_keep_ckpts'
        ) from error
    except RuntimeError as error:
        explained = explain_runtime_error(str(error))
        if explained is None:
            raise
        raise TrainingFault(explained) from error


def explain_runtime_error(text: str) -> str | None:
    """Return what an error of torch means where it stands for a lost process, else None."""
    if 'DataLoader worker' in text and ('exited unexpectedly' in text or 'killed by signal' in text):
        memory = 'shared memory (/dev/shm) ran out' if 'Bus error' in text else 'memory ran out'
        return (
            f'a process that reads data died: {text.strip().splitlines()[0]} Most often {memory}: lower '
            'train_dataloader.num_workers or prefetch_factor, then go on with --resume'
        )
    if any(sign in text for sign in PEER_LOST):
        return 'another process of this training has ended; its own message says why. Go on with --resume'
    return None
