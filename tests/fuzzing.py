"""Damaged files for readers: each must be read, or refused with one error that names the file.

``--fuzz-seconds`` sets how much CPU time each reader gets, and the summary tells how many files it was given; without
it, a few hundred files are tried.
"""

import faulthandler
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vrtspike.errors import VrtSpikeError
from vrtspike.runtime.device import MIB, peak_resident_memory

FILES = 200
PROPERTY = 'damaged files'
#: Small files must not need more memory than this, whatever their headers claim.
MAX_GROWTH_MIB = 512
#: Seconds after which a file that is still being read ends the process: libraries in C cannot be interrupted.
HANG = 120
#: Numbers that headers of damaged files hold: sizes, counts and offsets.
NUMBERS = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]


def pytest_addoption(parser):
    parser.addoption('--fuzz-seconds', type=float, default=0, help='CPU time for the damaged files of each reader')


@pytest.fixture
def fuzz_reader(request, tmp_path, record_property):
    """``fuzz_reader(read)`` lets a reader read damaged copies of the files in ``tmp_path``."""

    def fuzz_reader(read: Callable[[Path], object]) -> None:
        seconds = request.config.getoption('--fuzz-seconds')
        record_property(PROPERTY, fuzz(read, sorted(tmp_path.iterdir()), tmp_path, seconds))

    return fuzz_reader


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption('--fuzz-seconds'):
        return
    terminalreporter.section(PROPERTY)
    for report in terminalreporter.getreports('passed'):
        for count in (value for name, value in report.user_properties if name == PROPERTY):
            terminalreporter.write_line(f'{count:9,d}  {report.nodeid}')


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return ``content`` with one to four changes: bits, numbers, cuts, copies, zeros."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Headers are short, and most errors are in what they say.
        start = int(rng.integers(max(len(data), 1) if rng.random() < 0.5 else min(max(len(data), 1), 200)))
        length = int(rng.integers(1, 65))
        match rng.integers(6):
            case 0:
                data[start : start + 1] = bytes([int(rng.integers(256))])
            case 1:
                number, order = int(rng.choice(np.array(NUMBERS, np.uint64))), ('little', 'big')[rng.integers(2)]
                size = next(size for size in (1, 2, 4, 8) if number < 2 ** (8 * size))
                data[start : start + size] = number.to_bytes(size, order)
            case 2:
                del data[start:]
            case 3:
                del data[start : start + length]
            case 4:
                data[start:start] = data[start : start + length]
            case _:
                data[start : start + length] = bytes(length)
    return bytes(data)


def fuzz(read: Callable[[Path], object], whole: list[Path], folder: Path, seconds: float) -> int:
    """Let ``read`` read damaged copies of whole files; return how many were tried.

    Args:
        read: Reads a file, and raises a VrtSpikeError that names it where it cannot.
        whole: Files that it can read.
        folder: Where the damaged files are written; the last one remains after an unexpected error or a hang.
        seconds: CPU time to spend; 0 tries ``FILES`` files.
    """
    rng, count, end = np.random.default_rng(0), 0, time.process_time() + seconds
    contents = [(path.suffix, path.read_bytes()) for path in whole]
    for path in whole:
        read(path)
    before = peak_resident_memory()
    while time.process_time() < end if seconds else count < FILES:
        suffix, content = contents[rng.integers(len(contents))]
        path = folder / f'damaged{suffix}'
        path.write_bytes(damaged(content, rng))
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            read(path)
        except VrtSpikeError as error:
            if path.name not in str(error):
                raise AssertionError(f'an error does not name {path.name}: {error}') from error
        finally:
            faulthandler.cancel_dump_traceback_later()
        count += 1
    growth = (peak_resident_memory() - before) / MIB
    assert growth < MAX_GROWTH_MIB, f'{count} damaged files needed {growth:.0f} MiB'
    return count
