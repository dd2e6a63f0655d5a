"""Exports networks as graphs that run without vrtspike: ``torch.export`` programs and ONNX models.

The graphs use the reference backends, which consist of basic PyTorch operators, and have fixed shapes. Each written
file is run and compared with the network before it gets its final name.
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

Single pixels may differ more: a sampling position on the border of two pixels can be rounded to either.
"""


def export_network(network: nn.Module, inputs: tuple[Tensor, ...], path: str | Path) -> float:
    """Write a network as a graph for inputs of fixed shape, and compare the graph with the network.

    Args:
        network: A backbone, called with a clip (B, T, C, H, W), or a restorer, called with a clip and spikes.
        inputs: Example inputs; the graph takes inputs of these shapes.
        path: A file that ends in ``.pt2`` (for ``torch.export.load``) or ``.onnx``.

    Returns:
        The mean absolute difference between graph and network on ``inputs``.

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
    """Raise :class:`ConfigError` if the suffix is unknown or ONNX is not installed."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path}: expected a name that ends in one of {", ".join(SUFFIXES)}')
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if path.suffix == '.onnx' and missing:
        raise ConfigError(f"ONNX needs {', '.join(missing)}, not installed here: pip install 'vrtspike[onnx]'")


def save_program(program: torch.export.ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> Tensor:
    """Write a ``torch.export`` program; return the result of the program read from the file."""
    torch.export.save(program, path)
    return torch.export.load(path).module()(*inputs)


def save_onnx(program: torch.export.ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> Tensor:
    """Write an ONNX model, weights included; return the result of onnxruntime."""
    import onnxruntime

    torch.onnx.export(program, dynamo=True, verbose=False).save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    feed = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return torch.from_numpy(session.run(None, feed)[0])


def example_inputs(restorer: nn.Module, shape: tuple[int, int, int], spike_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return random inputs for a restorer: one clip and, if the restorer fuses spikes, voxels.

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
