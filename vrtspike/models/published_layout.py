"""Converts weights between the published layout and ours.

Published files contain the weights of a network (``stage1.…``) under the key ``params``. A restorer's checkpoint
contains the same weights with the prefix ``backbone.``, and those of the spike side, under the key ``state_dict``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.errors import CheckpointError
from vrtspike.models.weights import BACKBONE, read_weights
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.checkpoint_files import write_checkpoint_file

Weights = dict[str, Tensor]


def to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """Return a network's published weights under the names of a restorer.

    Raises:
        CheckpointError: The weights already have the names of a restorer.
    """
    if any(name.startswith(BACKBONE) for name in weights):
        raise CheckpointError(f'expected a network in the published layout, found names that begin with {BACKBONE!r}')
    return {BACKBONE + name: tensor for name, tensor in weights.items()}


def to_published(weights: Mapping[str, Tensor]) -> Weights:
    """Return the weights of a restorer's backbone under their published names, without those of the spike side.

    Raises:
        CheckpointError: The weights have no backbone.
    """
    found = {name.removeprefix(BACKBONE): tensor for name, tensor in weights.items() if name.startswith(BACKBONE)}
    if not found:
        raise CheckpointError(
            f"expected a restorer's checkpoint, with names that begin with {BACKBONE!r}; found "
            f'{", ".join(list(weights)[:3])}, ...'
        )
    return found


#: For each layout: the function that converts to it, its inverse, and the key of the weights in its files.
LAYOUTS: dict[str, tuple[Callable[[Mapping], Weights], Callable[[Mapping], Weights], str]] = {
    'ours': (to_ours, to_published, 'state_dict'),
    'published': (to_published, to_ours, 'params'),
}


def convert_file(path: str | Path, out: str | Path, layout: str, trust: bool = False) -> tuple[int, int]:
    """Write the weights of a checkpoint in another layout; return how many tensors were written and how many left out.

    Before ``out`` gets its final name, the file is read again and converted back, and every tensor is compared with its
    original.

    Args:
        path: The checkpoint.
        out: The file to write.
        layout: ``'ours'`` or ``'published'``.
        trust: Unpickle a checkpoint that contains code.

    Raises:
        CheckpointError: The checkpoint cannot be read or has the wrong layout, ``out`` is the same file, or the
            written file does not convert back to the original.
    """
    convert, back, key = LAYOUTS[layout]
    path, out = Path(path).expanduser(), Path(out).expanduser()
    if out.exists() and out.samefile(path):
        raise CheckpointError(f'{out} is the checkpoint itself; give --out another name')
    weights = read_weights(path, trust)
    converted = convert(weights)
    with atomic_write(out) as aside:
        write_checkpoint_file(aside, {key: converted})
        differing = differences(back(read_weights(aside)), weights)
        if differing:
            raise CheckpointError(f'{path}: these tensors do not survive the conversion: {", ".join(differing[:5])}')
    return len(converted), len(weights) - len(converted)


def differences(found: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors in ``found`` that are not exactly those of ``original``: type, shape or bytes."""
    return [
        name
        for name, tensor in found.items()
        if name not in original
        or tensor.dtype != original[name].dtype
        or not torch.equal(_bytes(tensor), _bytes(original[name]))
        or tensor.shape != original[name].shape
    ]


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor, so that NaN equals NaN."""
    return tensor.contiguous().flatten().view(torch.uint8)
