"""What a result was measured with: versions, device and commit, for the records that carry numbers."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import vrtspike

DISTRIBUTIONS = ('torch', 'onedl-mmengine', 'onedl-mmcv', 'numpy', 'opencv-python', 'scikit-image')


def describe_environment(device: torch.device | str) -> dict:
    """Return ``versions``, ``device`` and ``commit`` (None outside a git checkout) as JSON-ready values."""
    return {'versions': versions(), 'device': describe_device(torch.device(device)), 'commit': commit()}


def versions() -> dict[str, str | None]:
    """Return the version of this package, of Python and of what it computes with; None where not installed."""
    found = {'vrtspike': vrtspike.__version__, 'python': platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def describe_device(device: torch.device) -> dict:
    """Return the device's type and name, and for a CPU the number of threads torch uses."""
    if device.type == 'cuda':
        return {'type': 'cuda', 'name': torch.cuda.get_device_name(device)}
    return {'type': device.type, 'name': _cpu_name(), 'threads': torch.get_num_threads()}


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _cpu_name() -> str:
    """Return the processor's model as Linux names it, elsewhere what Python knows."""
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """Return this checkout's commit, with ``-dirty`` where tracked files differ; None where git does not track us."""
    # A virtual environment may lie inside somebody else's repository: only a tracked package says which commit it is.
    if _git('ls-files', '--error-unmatch', '__init__.py') is None:
        return None
    head = _git('rev-parse', 'HEAD')
    return f'{head}-dirty' if head and _git('status', '--porcelain', '--untracked-files=no') else head


def _git(*arguments: str) -> str | None:
    """Return what git prints when run in the package's folder, or None where it fails or is not installed."""
    package = Path(vrtspike.__file__).parent
    try:
        result = subprocess.run(['git', *arguments], cwd=package, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
