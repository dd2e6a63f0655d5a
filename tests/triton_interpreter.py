"""Runs a test module as a script in Triton's interpreter, which has to be chosen before Triton is imported."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_triton = pytest.mark.skipif(find_spec('triton') is None, reason='needs triton')


def results_in_interpreter(script):
    """Return what the script prints as JSON."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get('PYTHONPATH'))))
    environment = {**os.environ, 'TRITON_INTERPRET': '1', 'PYTHONPATH': path}
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, check=True, timeout=900
    )
    return json.loads(result.stdout)


@pytest.fixture(scope='module')
def interpreted(request):
    """What the module prints as a script: for the tests of operators, the errors of the Triton kernels in each type."""
    return results_in_interpreter(request.module.__file__)
