"""The provenance of a record: versions, device and commit."""

from __future__ import annotations

import contextlib
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
    """Return the versions of this package, of Python and of our dependencies; None if one is not installed."""
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
    return {'type': device.type, 'name': processor_name(), 'threads': torch.get_num_threads()}


def gpu_driver() -> str | None:
    """Return the version line of NVIDIA's kernel driver; None without it. PyTorch knows only CUDA's version."""
    with contextlib.suppress(OSError):
        return Path('/proc/driver/nvidia/version').read_text(encoding='utf-8').splitlines()[0]
    return None


def processor_name() -> str:
    """Return the name of the processor. psutil does not know it, so on Linux it comes from ``/proc/cpuinfo``."""
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` if tracked files differ; None if git does not track it."""
    # A virtual environment may be inside another repository. Its commit is ours only if git tracks this package.
    if _git('ls-files', '--error-unmatch', '__init__.py') is None:
        return None
    head = _git('rev-parse', 'HEAD')
    return f'{head}-dirty' if head and _git('status', '--porcelain', '--untracked-files=no') else head


def _git(*arguments: str) -> str | None:
    """Return the output of git in the package's folder, or None if it fails or is not installed."""
    package = Path(vrtspike.__file__).parent
    try:
        result = subprocess.run(['git', *arguments], cwd=package, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
