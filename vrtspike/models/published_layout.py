"""The published layout of weights and ours, converted both ways.

Published files hold a network's own names (``stage1.…``) under ``params``; a restorer's checkpoint holds the same names
behind ``backbone.``, beside those of the spike side, under ``state_dict``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.errors import CheckpointError
from vrtspike.models.weights import BACKBONE
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict

Weights = dict[str, Tensor]


def to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """Return a network's published weights by the names they have in a restorer.

    Raises:
        CheckpointError: They are a restorer's already.
    """
    if any(name.startswith(BACKBONE) for name in weights):
        raise CheckpointError(f'expected a network in the published layout, found names that begin with {BACKBONE!r}')
    return {BACKBONE + name: tensor for name, tensor in weights.items()}


def to_published(weights: Mapping[str, Tensor]) -> Weights:
    """Return the weights of a restorer's backbone by their published names; those of the spike side are left out.

    Raises:
        CheckpointError: There is no backbone.
    """
    found = {name.removeprefix(BACKBONE): tensor for name, tensor in weights.items() if name.startswith(BACKBONE)}
    if not found:
        raise CheckpointError(
            f"expected a restorer's checkpoint, with names that begin with {BACKBONE!r}; found "
            f'{", ".join(list(weights)[:3])}, ...'
        )
    return found


#: Layout to write: what converts to it, what converts back, and the key that its files keep weights under.
LAYOUTS: dict[str, tuple[Callable[[Mapping], Weights], Callable[[Mapping], Weights], str]] = {
    'ours': (to_ours, to_published, 'state_dict'),
    'published': (to_published, to_ours, 'params'),
}


def convert_file(path: str | Path, out: str | Path, layout: str, trust: bool = False) -> tuple[int, int]:
    """Write the weights of a checkpoint in another layout; return how many tensors were written and left out.

    Before ``out`` appears, the file is read again and converted back, and every tensor is compared with its original.

    Args:
        path: The checkpoint.
        out: The file to write.
        layout: ``'ours'`` or ``'published'``.
        trust: Unpickle a checkpoint that holds code.

    Raises:
        CheckpointError: The checkpoint cannot be read or has the wrong layout, ``out`` is the same file, or what was
            written does not convert back.
    """
    convert, back, key = LAYOUTS[layout]
    path, out = Path(path).expanduser(), Path(out).expanduser()
    if out.exists() and out.samefile(path):
        raise CheckpointError(f'{out} is the checkpoint itself; give --out another name')
    weights = unwrap_state_dict(load_checkpoint_file(path, trust))
    converted = convert(weights)
    with written_aside(out) as aside:
        torch.save({key: converted}, aside)
        differing = differences(back(unwrap_state_dict(load_checkpoint_file(aside))), weights)
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
    """Return a tensor's bytes, in which NaN equals itself."""
    return tensor.contiguous().flatten().view(torch.uint8)
