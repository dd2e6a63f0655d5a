"""Notes of trials in progress: one that remains after its process is gone tells that the trial ended the process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

from vrtspike.errors import VrtSpikeError


class Note(msgspec.Struct, frozen=True):
    """A trial and the process that makes it; numbers of processes are used again, so its start counts too."""

    backend: str
    host: str
    process: int
    started: float

    def may_run(self) -> bool:
        """Return whether the process is still running, or on another machine, where it cannot be seen."""
        if self.host != socket.gethostname():
            return True
        try:
            return psutil.Process(self.process).create_time() == self.started
        except psutil.Error:
            return False


@contextmanager
def noted_trial(file: Path, backend: str) -> Iterator[None]:
    """Leave a note beside ``file`` during a trial. It stays if the trial ends the process or breaks the device."""
    process = psutil.Process()
    note = Note(backend, socket.gethostname(), process.pid, process.create_time())
    path = file.with_name(f'{file.stem}.{backend}.{note.host}.{note.process}.trial')
    with suppress(OSError):
        path.write_bytes(msgspec.json.encode(note))
    try:
        yield
    except VrtSpikeError:  # the device is broken
        raise
    except BaseException:  # an interrupt is not the backend's fault
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def fatal_trials(file: Path) -> list[str]:
    """Return the backends whose trials ended a process of this machine."""
    return sorted({note.backend for _, note in _ended(file)})


def forget_fatal_trials(file: Path) -> None:
    """Remove the notes of trials that ended a process, once they are known."""
    for path, _ in _ended(file):
        path.unlink(missing_ok=True)


def _ended(file: Path) -> Iterator[tuple[Path, Note]]:
    for path in file.parent.glob(f'{file.stem}.*.trial'):
        with suppress(OSError, msgspec.DecodeError):
            note = msgspec.json.decode(path.read_bytes(), type=Note)
            if not note.may_run():
                yield path, note
