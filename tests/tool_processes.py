"""Runs tools as processes of their own. Each is a fork of one process that has imported what takes seconds.

The server imports only libraries, never MMEngine or this package: what these register is up to the tool.
"""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_tool(tool, *arguments, cwd='.'):
    """Run a tool as users do and return the finished process."""
    command = [str(ROOT / f'tools/{tool}.py'), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ('stdout', 'stderr')]
        print(json.dumps([command, os.path.abspath(cwd), *map(str, streams)]), file=fork_server().stdin, flush=True)
        status = int(fork_server().stdout.readline())
        return subprocess.CompletedProcess(command, status, *(path.read_text() for path in streams))


@cache
def fork_server():
    """Return the process that forks tools; it ends with this one."""
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server = subprocess.Popen([sys.executable, __file__], env=environment, **pipes)
    atexit.register(server.communicate)
    return server


def serve():
    """Fork for each request on stdin, and answer with the exit status."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(*json.loads(line))
            break
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(command, folder, stdout, stderr):
    """Run a tool in this process."""
    for stream, path in enumerate((os.devnull, stdout, stderr)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), stream)
    os.chdir(folder)
    sys.path[0] = str(Path(command[0]).parent)
    sys.argv[:] = command
    runpy.run_path(command[0], run_name='__main__')


if __name__ == '__main__':
    import cv2  # noqa: F401
    import fvcore.nn  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import skimage.metrics  # noqa: F401
    import torch._dynamo
    import torch.distributed.optim  # noqa: F401
    import yaml  # noqa: F401
    from formatted_configs import format_once

    format_once()
    serve()
