"""An operator with planted backends for y = 3 x: fast, slow, wrong and crashing ones, timed by a clock of their own."""

import json
import os
import sys
from functools import partial
from types import SimpleNamespace

import torch

from vrtspike.ops import Backend, Operator, trial_outcomes
from vrtspike.ops.backends import Request
from vrtspike.ops.trials import Trial, values_and_gradients
from vrtspike.runtime import device

MILLISECONDS = {'fast': 1, 'faster': 0.5, 'slow': 40}
clock = SimpleNamespace(seconds=0.0)
calls: list[str] = []


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def run(name, x):
    """Compute as the backend called ``name`` does."""
    calls.append(name)
    clock.seconds += MILLISECONDS.get(name, 10) / 1e3
    if name == 'crashing':
        raise RuntimeError('no kernel image\nand more lines')
    if name == 'aborting':
        os.abort()
    if name == 'hungry':
        raise torch.OutOfMemoryError('planted')
    if name == 'interrupted':
        raise KeyboardInterrupt
    if name == 'wrong gradient':
        return WrongGradient.apply(x)
    return {'wrong': 3.2, 'nan': float('nan')}.get(name, 3) * x


def use_clock():
    """Let the planted clock time all calls."""
    device.time = SimpleNamespace(perf_counter=lambda: clock.seconds)


def operator(*names):
    """Return an operator whose backends are the named ones, before the reference."""
    return Operator('tripling', tuple(Backend(name, partial(run, name)) for name in (*names, 'reference')))


def trial(x, shape='of any size'):
    """Return the trial of a call on ``x``."""

    def small(backend, convert):
        return values_and_gradients(backend.run, [convert(torch.arange(1.0, 6.0))], trains=x.requires_grad)

    def real(backend):
        values_and_gradients(backend.run, [x], trains=x.requires_grad)

    return Trial(shape, x.device, x.dtype, x.requires_grad, small, real)


def choose(operator, x, shape='of any size'):
    """Return the name of the backend that trials choose for ``x``."""
    return operator.choose(x, Request(trial=trial(x, shape))).name


def main(names, distributed=False):
    """Choose in this process, or in one of two of a distributed training, and print what was chosen and tried."""
    use_clock()
    x, rank, chosen = torch.ones(3, requires_grad=True), 0, []
    made = operator(*names)
    if distributed:
        torch.distributed.init_process_group('gloo')
        rank = torch.distributed.get_rank()
        trial_outcomes.WAIT = 1.0
    if rank:
        MILLISECONDS.update(slow=1, fast=40)
    chosen = [choose(made, x)]
    tried = sorted(set(calls))
    report = {'rank': rank, 'choices': list(made.choices.values())}
    if distributed:
        chosen.append(choose(made, x, 'larger'))
        if rank:
            chosen.append(choose(made, x, 'of rank 1 alone'))
            tried = sorted(set(calls))
        report['inference'] = choose(made, x.detach())
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    print(json.dumps(report | {'chosen': chosen, 'tried': tried}))


if __name__ == '__main__':
    main(sys.argv[1].split(','), 'distributed' in sys.argv)
