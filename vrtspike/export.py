"""Networks as graphs that run without vrtspike: ``torch.export`` programs, and ONNX models made from them.

The operators are chosen here, outside the graph: the references, which consist of PyTorch's own basic operators. Shapes
are fixed. What was written is run and compared with the network before it takes its name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.ops import use_backends
from vrtspike.runtime.atomic_write import atomic_write

REFERENCES = dict(window_attention='reference', deform_conv2d='reference')
SUFFIXES = ('.pt2', '.onnx')
TOLERANCE = 1e-4
"""Largest mean absolute difference, for frames in [0, 1].

Single pixels may differ more: a position on the border of two pixels can be rounded to either.
"""


def export_network(network: nn.Module, inputs: tuple[Tensor, ...], path: str | Path) -> float:
    """Write a network for inputs of fixed shape, and return how far its results are from the network's.

    Args:
        network: A backbone, which takes a clip (B, T, C, H, W), or a restorer, which takes one and spikes.
        inputs: Tensors like those it will be given; their shapes become the graph's.
        path: A file that ends in ``.pt2`` (for ``torch.export.load``) or ``.onnx``.

    Returns:
        The mean absolute difference of both results on ``inputs``.

    Raises:
        ConfigError: ``path`` has another suffix, ONNX is not installed, or the results differ.
    """
    path = Path(path)
    check_target(path)
    network = network.eval()
    with use_backends(**REFERENCES), torch.no_grad():
        expected = network(*inputs)
        program = torch.export.export(network, inputs)
        with atomic_write(path) as aside:
            found = (save_onnx if path.suffix == '.onnx' else save_program)(program, inputs, aside)
            difference = (found - expected).abs().mean().item()
            if not difference <= TOLERANCE:
                raise ConfigError(
                    f'{path}: the exported network differs by {difference:.1e} on average from the original, more than '
                    f'{TOLERANCE:.0e}; nothing was written'
                )
    return difference


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written as a graph."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path}: expected a name that ends in one of {", ".join(SUFFIXES)}')
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if path.suffix == '.onnx' and missing:
        raise ConfigError(f"ONNX needs {', '.join(missing)}, not installed here: pip install 'vrtspike[onnx]'")


def save_program(program: torch.export.ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> Tensor:
    """Write a ``torch.export`` program; return what it computes when read again."""
    torch.export.save(program, path)
    return torch.export.load(path).module()(*inputs)


def save_onnx(program: torch.export.ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> Tensor:
    """Write an ONNX model, weights included; return what onnxruntime computes with it."""
    import onnxruntime

    torch.onnx.export(program, dynamo=True, verbose=False).save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    feed = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return torch.from_numpy(session.run(None, feed)[0])


def example_inputs(restorer: nn.Module, shape: tuple[int, int, int], spike_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return random inputs for a restorer: one clip of ``shape`` (T, H, W) and, where it fuses them, spikes.

    Args:
        restorer: A :class:`~vrtspike.models.SpikeRestorer`.
        shape: (T, H, W) in pixels.
        spike_size: (Hs, Ws) of the spike camera.
    """
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(1, shape[0], restorer.backbone.in_channels, *shape[1:], generator=generator)
    if not restorer.uses_spikes:
        return (clip,)
    bins = restorer.spike_encoder.bins
    return clip, torch.rand(1, shape[0], bins, *spike_size, generator=generator)
