"""Checks of what every network part promises, one function per promise.

Every check builds the part and its inputs again, so that it starts from the same weights and data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

AUTOCAST_TOLERANCE = 0.1
"""Relative to the largest value: bfloat16 has 8 bits, and the rounding errors of a part add up."""

SMALL_CHUNKS = dict(adaptive_chunk=False, chunk_size=3)


@dataclass(frozen=True)
class Subject:
    """A part under test.

    Args:
        name: Its name in messages.
        make: Builds the part from further constructor arguments.
        inputs: Shapes of its inputs.
        outputs: Shapes of its results.
        call: Calls the part on its inputs.
    """

    name: str
    make: Callable[..., nn.Module]
    inputs: Sequence[tuple[int, ...]]
    outputs: Sequence[tuple[int, ...]]
    call: Callable[..., object] = lambda part, *inputs: part(*inputs)

    def build(self, **arguments: object) -> nn.Module:
        """Return the part in evaluation mode, with the same weights every time."""
        torch.manual_seed(0)
        return self.make(**arguments).eval()

    def without_zeros(self, **arguments: object) -> nn.Module:
        """Return the part with noise in place of zero weights, which would hide what comes after them."""
        return fill_zeros(self.build(**arguments))

    def data(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Return inputs in [0, 1), the same every time."""
        generator = torch.Generator().manual_seed(2)
        return [torch.rand(shape, generator=generator).to(dtype) for shape in self.inputs]

    def run(self, part: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the results of the part as a list of tensors."""
        found = self.call(part, *inputs)
        return list(found) if isinstance(found, (list, tuple)) else [found]


def fill_zeros(part: nn.Module) -> nn.Module:
    """Add noise, the same every time, to the parameters of ``part`` that are zero; return ``part``."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in part.parameters():
            if not parameter.any():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return part


def check_all(subject: Subject, chunked: bool) -> None:
    """Check every promise; ``chunked`` is whether the constructor takes chunk options."""
    check_shapes(subject)
    check_gradients(subject)
    check_determinism(subject)
    check_clip_independence(subject)
    check_state_dict(subject)
    check_autocast(subject)
    if chunked:
        check_chunks(subject)


def check_shapes(subject: Subject) -> None:
    """Results have the promised shapes and are finite, and inputs are not changed."""
    inputs, before = subject.data(), subject.data()
    outputs = subject.run(subject.without_zeros(), inputs)
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == list(subject.outputs), f'{subject.name}: returned {shapes}, expected {list(subject.outputs)}'
    assert all(output.isfinite().all() for output in outputs), f'{subject.name}: returned values that are not finite'
    same = all(torch.equal(now, then) for now, then in zip(inputs, before, strict=True))
    assert same, f'{subject.name}: changed its input in place'


def check_gradients(subject: Subject) -> None:
    """A nonzero, finite gradient reaches every parameter and every input."""
    part = subject.without_zeros()
    inputs = [each.requires_grad_() for each in subject.data()]
    _scalar(subject.run(part, inputs)).backward()
    named = [*part.named_parameters(), *((f'input {i}', each) for i, each in enumerate(inputs))]
    unreached = [name for name, each in named if each.requires_grad and _is_zero(each.grad)]
    assert not unreached, f'{subject.name}: no gradient reaches {", ".join(unreached)}'
    infinite = [name for name, each in named if each.grad is not None and not each.grad.isfinite().all()]
    assert not infinite, f'{subject.name}: the gradient of {", ".join(infinite)} is not finite'


def check_determinism(subject: Subject) -> None:
    """The same seed builds the same part, and in evaluation the same input gives the same output."""
    first, second = subject.build(), subject.build()
    pairs = zip(first.state_dict().items(), second.state_dict().values(), strict=True)
    differing = [name for (name, one), other in pairs if not torch.equal(one, other)]
    assert not differing, f'{subject.name}: two builds from one seed differ in {", ".join(differing)}'
    part, inputs = subject.without_zeros(), subject.data()
    once, again = subject.run(part, inputs), subject.run(part, inputs)
    assert _equal(once, again), f'{subject.name}: two calls with the same input return different values'


def check_clip_independence(subject: Subject) -> None:
    """The result of a clip does not depend on the other clips in its batch."""
    part, inputs = subject.without_zeros().double(), subject.data(torch.float64)
    together = [output[:1] for output in subject.run(part, inputs)]
    alone = subject.run(part, [each[:1] for each in inputs])
    assert _close(alone, together), f'{subject.name}: the result of a clip changes when it is alone in its batch'


def check_state_dict(subject: Subject) -> None:
    """Weights that are saved, then loaded strictly and as weights only, give the same output."""
    part, file = subject.without_zeros(), io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    loaded = subject.build()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    outputs = [subject.run(each, subject.data()) for each in (part, loaded)]
    assert _equal(*outputs), f'{subject.name}: after its state dict was saved and loaded it returns other values'


def check_autocast(subject: Subject) -> None:
    """Under bfloat16 autocast, values stay close to those of float32 and gradients stay finite."""
    part = subject.without_zeros()
    expected = subject.run(part, subject.data())
    inputs = [each.requires_grad_() for each in subject.data()]
    with torch.autocast('cpu', torch.bfloat16):
        found = subject.run(part, inputs)
    _scalar(found).backward()
    for output, wanted in zip(found, expected, strict=True):
        error = (output.float() - wanted).abs().max() / wanted.abs().max()
        assert error < AUTOCAST_TOLERANCE, f'{subject.name}: {error:.2f} of the largest value off under bf16 autocast'
    grads = [each.grad for each in (*part.parameters(), *inputs) if each.grad is not None]
    assert all(grad.isfinite().all() for grad in grads), f'{subject.name}: gradients are not finite under bf16 autocast'


def check_chunks(subject: Subject) -> None:
    """Chunks change neither values nor gradients."""
    whole, chunked = subject.without_zeros().double(), subject.without_zeros(**SMALL_CHUNKS).double()
    values = []
    for part in (whole, chunked):
        inputs = [each.requires_grad_() for each in subject.data(torch.float64)]
        outputs = subject.run(part, inputs)
        grads = torch.autograd.grad(_scalar(outputs), [*inputs, *part.parameters()])
        values.append([*outputs, *grads])
    assert _close(*values), f'{subject.name}: values or gradients depend on how the map is cut into chunks'


def _scalar(outputs: Sequence[Tensor]) -> Tensor:
    """Return the sum of all values, each with its own weight."""
    weights = [torch.linspace(-1, 1, each.numel(), dtype=each.dtype).view(each.shape) for each in outputs]
    return sum((each * weight).sum() for each, weight in zip(outputs, weights, strict=True))


def _is_zero(grad: Tensor | None) -> bool:
    return grad is None or not grad.any()


def _equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def _close(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.allclose(one, other, rtol=1e-8, atol=1e-8) for one, other in pairs)
