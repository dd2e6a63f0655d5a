"""Every right backend passes the trial of its operator, in all types that trainings use.

Triton's interpreter is chosen by an environment variable before Triton is imported, hence the process of its own.
"""

import json

import pytest
import torch
from triton_interpreter import needs_triton

from vrtspike.ops import OPERATORS
from vrtspike.ops.add_scattered import Addend
from vrtspike.ops.add_scattered.functional import trial_of as trial_of_sum
from vrtspike.ops.deform_conv.trials import trial_of_convolution
from vrtspike.ops.flow_offsets.functional import trial_of as trial_of_offsets
from vrtspike.ops.gated_linear.functional import trial_of as trial_of_gate
from vrtspike.ops.layer_norm.functional import trial_of as trial_of_norm
from vrtspike.ops.trials import TOLERANCES, difference, shuffled
from vrtspike.ops.window_attention.trials import trial_of_windows
from vrtspike.ops.window_attention.windows import Settings

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
MULTIPLYING = ('window_attention', 'deform_conv2d')
"""Operators whose Triton kernels multiply matrices, which the interpreter cannot in bfloat16."""
MARGIN = 0.6
"""Of the allowed error: what differs between devices must not decide."""


def random(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()


def trials(dtype):
    """Return the trials of calls as they are made in trainings with maps in float32 and ``dtype`` in the branches."""
    order, rows, weight = shuffled(torch.device('cpu')), random(100, 16, dtype=dtype), random(16)
    hidden = random(50, 32, dtype=dtype)
    with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
        norm_of_map = trial_of_norm(random(100, 16), weight, weight, 1e-5, order)
    convolution = [random(*shape, dtype=dtype) for shape in ((1, 8, 8, 8), (1, 18, 8, 8), (4, 8, 3, 3), (4,))]
    convolution.insert(1, random(1, 36, 8, 8))
    attended = random(1, 4, 8, 8, 16, dtype=dtype), random(3 * 7 * 7, 2), Settings((2, 4, 4), (1, 0, 2), 2, False, 0.3)
    return [
        ('add_scattered', trial_of_sum(random(100, 16), Addend([rows], order, 1.3, weight))),
        ('add_scattered', trial_of_sum(random(100, 16), Addend([rows], bias=weight))),
        ('layer_norm', trial_of_norm(rows, weight, weight, 1e-5, None)),
        ('layer_norm', norm_of_map),
        ('gated_linear', trial_of_gate(hidden, hidden, random(16, 32, dtype=dtype), None, (random(32), random(32)))),
        ('flow_offsets', trial_of_offsets(random(2, 54, 8, 8, dtype=dtype), random(2, 2, 8, 8), 10.0)),
        ('deform_conv2d', trial_of_convolution(*convolution, 1)),
        ('window_attention', trial_of_windows(*attended)),
    ]


def failures(dtype, names=None):
    """Return the backends that fail a trial, or nearly do, and why; ``names`` are those to try."""
    found = {}
    for name, trial in trials(dtype):
        *backends, reference = OPERATORS[name].backends
        like = torch.empty(0, dtype=trial.dtype, requires_grad=True)
        expected = trial.small(reference, torch.Tensor.double)
        for backend in backends:
            if backend.refusal(like) is None and (names is None or backend.name in names):
                why = difference(trial.small(backend, lambda x: x), expected, MARGIN * TOLERANCES[trial.dtype])
                if why:
                    found[f'{name}, {backend.name}, {trial.case}'] = why
    return found


@pytest.mark.parametrize('dtype', DTYPES)
def test_right_backends_pass(dtype):
    assert failures(dtype) == {}


@needs_triton
@pytest.mark.parametrize('dtype', DTYPES)
def test_triton_kernels_pass_in_the_interpreter(interpreted, dtype):
    assert interpreted[str(dtype)] == {}


if __name__ == '__main__':
    found = {str(dtype): failures(dtype, ('triton', 'flash')) for dtype in DTYPES}
    of_bfloat16 = found[str(torch.bfloat16)]
    found[str(torch.bfloat16)] = {case: why for case, why in of_bfloat16.items() if not case.startswith(MULTIPLYING)}
    print(json.dumps(found))
