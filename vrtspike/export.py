"""Exports networks as graphs that run without vrtspike: ``torch.export`` programs and ONNX models.

The graphs use the reference backends, which consist of basic PyTorch operators. A graph takes clips of one shape, or of
any number of frames, height and width. Each file is run and compared with the network before it gets its final name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.ops import use_backends
from vrtspike.runtime.atomic_write import atomic_write

Run = Callable[..., Tensor]
REFERENCES = dict(window_attention='reference', deform_conv2d='reference')
SUFFIXES = ('.pt2', '.onnx')
DYNAMIC_AXES = (1, 3, 4)
"""Axes of the frames, height and width, of a clip and of its spikes."""
UNBOUNDED = 2**31
TOLERANCE = 1e-4
"""Largest mean absolute difference, for frames in [0, 1].

Single pixels may differ more: a sampling position on the border of two pixels can be rounded to either.
"""


def export_network(
    network: nn.Module, inputs: tuple[Tensor, ...], path: str | Path, *, dynamic: bool = False
) -> ExportReport:
    """Write a network as a graph, and compare the graph with the network.

    Args:
        network: A backbone, called with a clip (B, T, C, H, W), or a restorer, called with a clip and spikes.
        inputs: Example inputs. The graph takes inputs of these shapes.
        path: A file that ends in ``.pt2`` (for ``torch.export.load``) or ``.onnx``.
        dynamic: Whether the graph takes any number of frames, height and width above a minimum. It is then also
            compared at two larger sizes.

    Raises:
        ConfigError: ``path`` has another suffix, ONNX is not installed, the network only works at fixed sizes, or the
            results differ.
    """
    path = Path(path)
    check_target(path)
    network = network.eval()
    with use_backends(**REFERENCES), torch.no_grad():
        shapes = tuple(dict.fromkeys(DYNAMIC_AXES, torch.export.Dim.AUTO) for _ in inputs) if dynamic else None
        program = torch.export.export(network, inputs, dynamic_shapes=shapes)
        smallest = smallest_sizes(program) if dynamic else None
        sizes = [inputs, *larger_inputs(inputs)] if dynamic else [inputs]
        with atomic_write(path) as aside:
            run = (save_onnx if path.suffix == '.onnx' else save_program)(program, aside)
            difference = max((run(*each) - network(*each)).abs().mean().item() for each in sizes)
            if not difference <= TOLERANCE:
                raise ConfigError(
                    f'{path}: the exported network differs by {difference:.1e} on average from the original, more than '
                    f'{TOLERANCE:.0e}; nothing was written'
                )
    return ExportReport(difference, smallest)


class ExportReport(NamedTuple):
    """What was exported.

    Args:
        difference: The largest mean absolute difference between graph and network on the compared sizes.
        smallest: The smallest (T, H, W) for which the graph is correct; None if its sizes are fixed.
    """

    difference: float
    smallest: tuple[int, int, int] | None


def smallest_sizes(program: torch.export.ExportedProgram) -> tuple[int, int, int]:
    """Return the smallest number of frames, height and width that a graph takes.

    Raises:
        ConfigError: One of them is fixed or has an upper bound.
    """
    (name, *_) = (spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == 'USER_INPUT')
    shape = next(node.meta['val'].shape for node in program.graph.nodes if node.name == name)
    smallest = []
    for axis, what in zip(DYNAMIC_AXES, ('number of frames', 'height', 'width'), strict=True):
        bounds = program.range_constraints.get(getattr(getattr(shape[axis], 'node', None), 'expr', None))
        if bounds is None or bounds.upper < UNBOUNDED:
            limit = f'with a {what} of {shape[axis]}' if bounds is None else f'up to a maximum {what}'
            raise ConfigError(f'the network only works {limit}: export it with fixed sizes, or with a larger --shape')
        smallest.append(int(bounds.lower))
    return tuple(smallest)


def larger_inputs(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Yield inputs with one more frame and twice the height, then inputs with two more frames and twice the width."""
    for frames, axis in ((1, -2), (2, -1)):
        longer = [torch.cat((each, each[:, :frames].flip(-1)), dim=1) for each in inputs]
        yield tuple(torch.cat((each, each.flip(axis)), dim=axis) for each in longer)


def check_target(path: Path) -> None:
    """Raise :class:`ConfigError` if the suffix is unknown or ONNX is not installed."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path}: expected a name that ends in one of {", ".join(SUFFIXES)}')
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if path.suffix == '.onnx' and missing:
        raise ConfigError(f"ONNX needs {', '.join(missing)}, which is not installed: pip install 'vrtspike[onnx]'")


def save_program(program: torch.export.ExportedProgram, path: Path) -> Run:
    """Write a ``torch.export`` program; return a function that runs the program in the file."""
    torch.export.save(program, path)
    return torch.export.load(path).module()


def save_onnx(program: torch.export.ExportedProgram, path: Path) -> Run:
    """Write an ONNX model, weights included; return a function that runs the file in onnxruntime."""
    import onnxruntime

    # onnxscript 0.7's constant folding fails on splits of unknown length; onnxruntime folds constants itself.
    torch.onnx.export(program, dynamo=True, verbose=False, optimize=False).save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    names = [node.name for node in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def example_inputs(restorer: nn.Module, shape: tuple[int, int, int], spike_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return random inputs for a restorer: one clip and, if the restorer fuses spikes, its voxel grids.

    Args:
        restorer: A :class:`~vrtspike.models.SpikeRestorer`.
        shape: (T, H, W) in pixels.
        spike_size: (Hs, Ws) of the spike camera.
    """
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(1, shape[0], restorer.backbone.in_channels, *shape[1:], generator=generator)
    if not restorer.uses_spikes:
        return (clip,)
    bins = restorer.spike_bins
    return clip, torch.rand(1, shape[0], bins, *spike_size, generator=generator)
