"""What any network part promises, each promise checked on its own.

A part is given as a function that builds it anew and a function that makes its inputs, so that every check starts from
the same weights and the same data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

AUTOCAST_TOLERANCE = 0.1
"""Of the largest value: bfloat16 keeps 8 bits, and a part adds up a few roundings."""

SMALL_CHUNKS = dict(adaptive_chunk=False, chunk_size=3)


@dataclass(frozen=True)
class Subject:
    """A part under test.

    Args:
        name: What messages call it.
        make: Builds the part; takes further constructor arguments.
        inputs: Shapes of its inputs.
        outputs: Shapes that it must return.
        call: Calls the part on its inputs.
    """

    name: str
    make: Callable[..., nn.Module]
    inputs: Sequence[tuple[int, ...]]
    outputs: Sequence[tuple[int, ...]]
    call: Callable[..., object] = lambda part, *inputs: part(*inputs)

    def build(self, **arguments: object) -> nn.Module:
        """Return the part with weights that are the same every time, in evaluation mode."""
        torch.manual_seed(0)
        return self.make(**arguments).eval()

    def awake(self, **arguments: object) -> nn.Module:
        """Return the part with noise where weights begin at zero, so that nothing stays hidden behind them."""
        return awaken(self.build(**arguments))

    def data(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Return inputs in [0, 1), the same every time."""
        generator = torch.Generator().manual_seed(2)
        return [torch.rand(shape, generator=generator).to(dtype) for shape in self.inputs]

    def run(self, part: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors that the part makes of ``inputs``."""
        found = self.call(part, *inputs)
        return list(found) if isinstance(found, (list, tuple)) else [found]


def awaken(part: nn.Module) -> nn.Module:
    """Put noise on those parameters of ``part`` that are all zero, the same every time; return ``part``."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in part.parameters():
            if not parameter.any():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return part


def check_all(subject: Subject, chunked: bool) -> None:
    """Check every promise; ``chunked`` says whether the constructor takes options of chunks."""
    check_shapes(subject)
    check_gradients(subject)
    check_determinism(subject)
    check_independence_of_clips(subject)
    check_state_dict(subject)
    check_autocast(subject)
    if chunked:
        check_chunks(subject)


def check_shapes(subject: Subject) -> None:
    """The part returns tensors of the shapes that its registry promises, all finite, and leaves its inputs alone."""
    inputs, before = subject.data(), subject.data()
    outputs = subject.run(subject.awake(), inputs)
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == list(subject.outputs), f'{subject.name}: returned {shapes}, expected {list(subject.outputs)}'
    assert all(output.isfinite().all() for output in outputs), f'{subject.name}: returned values that are not finite'
    same = all(torch.equal(now, then) for now, then in zip(inputs, before, strict=True))
    assert same, f'{subject.name}: changed its input in place'


def check_gradients(subject: Subject) -> None:
    """A gradient other than zero reaches every parameter and every input."""
    part = subject.awake()
    inputs = [each.requires_grad_() for each in subject.data()]
    _scalar(subject.run(part, inputs)).backward()
    named = [*part.named_parameters(), *((f'input {i}', each) for i, each in enumerate(inputs))]
    silent = [name for name, each in named if each.requires_grad and _is_silent(each.grad)]
    assert not silent, f'{subject.name}: no gradient reaches {", ".join(silent)}'
    wild = [name for name, each in named if each.grad is not None and not each.grad.isfinite().all()]
    assert not wild, f'{subject.name}: the gradient of {", ".join(wild)} is not finite'


def check_determinism(subject: Subject) -> None:
    """One seed makes one part, and in evaluation one input makes one output."""
    first, second = subject.build(), subject.build()
    pairs = zip(first.state_dict().items(), second.state_dict().values(), strict=True)
    differing = [name for (name, one), other in pairs if not torch.equal(one, other)]
    assert not differing, f'{subject.name}: two builds from one seed differ in {", ".join(differing)}'
    part, inputs = subject.awake(), subject.data()
    once, again = subject.run(part, inputs), subject.run(part, inputs)
    assert _equal(once, again), f'{subject.name}: two calls with the same input return different values'


def check_independence_of_clips(subject: Subject) -> None:
    """What a clip becomes does not depend on the others in its batch."""
    part, inputs = subject.awake().double(), subject.data(torch.float64)
    together = [output[:1] for output in subject.run(part, inputs)]
    alone = subject.run(part, [each[:1] for each in inputs])
    assert _close(alone, together), f'{subject.name}: a clip becomes something else when it is alone in its batch'


def check_state_dict(subject: Subject) -> None:
    """Weights that are saved and loaded (as weights only, strictly) give the same output."""
    part, file = subject.awake(), io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    loaded = subject.build()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    outputs = [subject.run(each, subject.data()) for each in (part, loaded)]
    assert _equal(*outputs), f'{subject.name}: after its state dict was saved and loaded it returns other values'


def check_autocast(subject: Subject) -> None:
    """Under bfloat16 autocast values stay near those of float32 and gradients finite."""
    part = subject.awake()
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
    whole, chunked = subject.awake().double(), subject.awake(**SMALL_CHUNKS).double()
    values = []
    for part in (whole, chunked):
        inputs = [each.requires_grad_() for each in subject.data(torch.float64)]
        outputs = subject.run(part, inputs)
        grads = torch.autograd.grad(_scalar(outputs), [*inputs, *part.parameters()])
        values.append([*outputs, *grads])
    assert _close(*values), f'{subject.name}: values or gradients depend on how the map is cut into chunks'


def _scalar(outputs: Sequence[Tensor]) -> Tensor:
    """Return a sum in which every value has a weight of its own."""
    weights = [torch.linspace(-1, 1, each.numel(), dtype=each.dtype).view(each.shape) for each in outputs]
    return sum((each * weight).sum() for each, weight in zip(outputs, weights, strict=True))


def _is_silent(grad: Tensor | None) -> bool:
    return grad is None or not grad.any()


def _equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def _close(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.allclose(one, other, rtol=1e-8, atol=1e-8) for one, other in pairs)
