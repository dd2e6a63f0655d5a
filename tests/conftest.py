"""What all tests share: which of them run here, and on how many threads."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Hypothesis would fail an example that takes longer than 200 ms, as any does on a busy machine.
settings.register_profile('no_deadline', deadline=None)
settings.load_profile('no_deadline')

THREADS = 2
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')

sys.path.append(str(Path(__file__).parent))
from formatted_configs import format_once  # noqa: E402 - found by the line above

format_once()
# What several tests share: logs of runs, readers that meet damaged files, and Triton's interpreter.
pytest_plugins = ['made_up_logs', 'fuzzing', 'triton_interpreter']


def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true', help='also run the tests marked slow')


def pytest_configure(config):
    # A suite started in the background inherits an ignored SIGINT, and so would every process that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # More threads than cores make small networks many times slower, and xdist's workers take a core each.
    threads = 1 if 'PYTEST_XDIST_WORKER' in os.environ else THREADS
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', threads)))


def pytest_collection_finish():
    # What is imported stays: no collection of garbage has to look at it again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # libraries in C++ would report objects that are left


def pytest_collection_modifyitems(config, items):
    reasons = {}
    if not config.getoption('--slow'):
        reasons['slow'] = 'slow: run with --slow'
    if not torch.cuda.is_available():
        reasons['gpu'] = 'needs a CUDA device'
    if not any(map(shutil.which, BROWSERS)):
        reasons['browser'] = 'needs chromium: apt-get install chromium'
    for item in items:
        for marker, reason in reasons.items():
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def cpu_with_bfloat16(monkeypatch):
    """Let AMP choose bfloat16 on every CPU, also on one that would choose float32."""
    monkeypatch.setattr('vrtspike.optim.amp.has_bfloat16', lambda device: True)


@pytest.fixture(params=['widest', 'avx2'])
def vectors(request, monkeypatch):
    """Compile kernels for the widest vectors of this processor, then without AVX-512."""
    from vrtspike.native import build

    if request.param == 'avx2':
        monkeypatch.setattr(build, 'FLAGS', (*build.FLAGS, '-mno-avx512f'))
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.fixture
def browse(tmp_path):
    """Shows a page in a headless browser: ``browse(path, '--dump-dom')``. The page must not log to the console."""

    def browse(page: Path, *options: str) -> str:
        browser = next(filter(None, map(shutil.which, BROWSERS)))
        command = [browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
        command += [f'--user-data-dir={tmp_path / "profile"}', '--enable-logging=stderr', '--virtual-time-budget=5000']
        done = subprocess.run([*command, *options, page.as_uri()], capture_output=True, text=True, timeout=240)
        assert [line for line in done.stderr.splitlines() if ':CONSOLE' in line] == []
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return browse
