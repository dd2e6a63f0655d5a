"""Runs scripts as processes of their own. Each is a fork of one process that has imported what takes seconds.

The server imports only libraries, never MMEngine or this package: what these register is up to the script.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTPUT = ('stdout', 'stderr')


def run_tool(tool, *arguments, cwd='.'):
    """Run a tool as users do and return the finished process."""
    return run_script(ROOT / f'tools/{tool}.py', *arguments, cwd=cwd)


def run_script(script, *arguments, cwd='.', **environment):
    """Run a script as ``python SCRIPT ARGUMENT ...`` does and return the finished process."""
    (process,) = run_together([environment], script, *arguments, cwd=cwd)
    return process


def run_pytest(*arguments, cwd='.'):
    """Run pytest in one process and return it when it has finished."""
    return run_script(Path(pytest.__file__).with_name('__main__.py'), '-q', '-n', '0', *arguments, cwd=cwd)


def run_ranks(script, *arguments, cwd='.', **environment):
    """Run a script in two processes with the environment that torchrun gives them; return both when they are done."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    shared = dict(WORLD_SIZE='2', LOCAL_WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    environments = [environment | shared | dict(RANK=rank, LOCAL_RANK=rank) for rank in '01']
    return run_together(environments, script, *arguments, cwd=cwd)


def run_together(environments, script, *arguments, cwd='.', seconds=600):
    """Run a script once for each environment, all at once. The first that fails, or too long a time, ends all."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [[Path(folder, f'{stream}{i}') for stream in OUTPUT] for i in range(len(environments))]
        processes = [
            ForkedProcess([script, *arguments], *output, cwd, environment)
            for output, environment in zip(outputs, environments, strict=True)
        ]
        deadline = time.monotonic() + seconds
        while None in (statuses := [process.poll() for process in processes]):
            if any(statuses) or time.monotonic() > deadline:
                kill(process for process in processes if process.returncode is None)
            time.sleep(0.01)
        return [
            subprocess.CompletedProcess(process.command, process.returncode, *(path.read_text() for path in output))
            for process, output in zip(processes, outputs, strict=True)
        ]


def kill(processes):
    for process in processes:
        process.kill()


class ForkedProcess:
    """A script that runs, with the part of :class:`subprocess.Popen` that tests use.

    Args:
        command: The script and its arguments.
        stdout, stderr: Files that its output is appended to.
        cwd: The folder that it runs in.
        environment: Variables besides those of this process.
        session: Whether it leads a new session, so that its process group can be signalled.
    """

    def __init__(self, command, stdout, stderr, cwd='.', environment=(), session=False):
        self.command = list(map(str, command))
        self.returncode = None
        streams = [str(stdout), str(stderr)]
        variables = {**os.environ, 'OMP_NUM_THREADS': '1', **dict(environment)}
        self.pid = ask('start', self.command, os.path.abspath(cwd), streams, variables, session)

    def poll(self):
        """Return the exit status, or None while the process runs."""
        if self.returncode is None:
            self.returncode = ask('poll', self.pid)
        return self.returncode

    def wait(self, seconds=300):
        """Return the exit status once the process has ended."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.command, seconds)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def ask(*request):
    """Send a request to the server and return its answer."""
    server = fork_server()
    print(json.dumps(request), file=server.stdin, flush=True)
    return json.loads(server.stdout.readline())


@cache
def fork_server():
    """Return the process that forks others; it ends with this one."""
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server = subprocess.Popen([sys.executable, __file__], env=environment, **pipes)
    atexit.register(server.communicate)
    return server


def serve():
    """Answer the requests on stdin: ``start`` with a process, and ``poll`` with its exit status."""
    for line in sys.stdin:
        request, *arguments = json.loads(line)
        if request == 'poll':
            answer = status_of(*arguments)
        else:
            answer = os.fork()
            if not answer:
                become(*arguments)  # does not return
        print(json.dumps(answer), flush=True)


def status_of(pid):
    """Return the exit status of a child, or None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def become(command, folder, streams, environment, session):
    """Run a script in this process."""
    if session:
        os.setsid()
    for stream, path in enumerate((os.devnull, *streams)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
    sys.stdout.reconfigure(line_buffering=True)
    run(command, folder, environment)


def run(command, folder, environment):
    """Run a script and exit as Python does, except that the objects are not freed: a fork would copy them all."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[0] = str(Path(command[0]).parent)
        sys.argv[:] = command
        runpy.run_path(command[0], run_name='__main__')
        status = 0
    except SystemExit as end:
        status = end.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)


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
    gc.freeze()  # else each fork that collects garbage would copy all objects
    serve()
