"""Merges low-rank adapters in files with the weights that they adapt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vrtspike.errors import CheckpointError
from vrtspike.models.adapters import Merged, merge_adapters, with_plain_adapters
from vrtspike.models.published_layout import to_ours
from vrtspike.models.weights import BACKBONE, read_weights
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.checkpoint_files import write_checkpoint_file


def merge_file(
    path: Path, out: Path, adapters: Path | None = None, alpha: float | None = None, trust: bool = False
) -> Merged:
    """Write the weights of a checkpoint with its adapters merged, under ``state_dict``.

    Args:
        path: A checkpoint. Without ``adapters``, it contains the adapters.
        out: The file to write.
        adapters: A file of adapters alone, and of other parts that were trained with them. They replace the parts of
            ``path``.
        alpha: Scale times rank, if the files do not contain the scale.
        trust: Unpickle files that contain code.

    Raises:
        CheckpointError: A file cannot be read, there is no adapter, it does not fit, or ``out`` is one of the files.
    """
    if out.exists() and any(out.samefile(each) for each in (path, adapters) if each and each.exists()):
        raise CheckpointError(f'{out} is the checkpoint itself; give --out another name')
    weights = with_plain_adapters(read_weights(path, trust))
    if adapters is not None:
        added = with_plain_adapters(read_weights(adapters, trust))
        if has_backbone(added) and not has_backbone(weights):
            weights = to_ours(weights)
        weights |= added
    merged = merge_adapters(weights, alpha=alpha)
    if not merged.names:
        raise CheckpointError(f'{adapters or path} contains no adapters (lora_A, lora_B)')
    with atomic_write(out) as aside:
        write_checkpoint_file(aside, {'state_dict': merged.weights})
    return merged


def has_backbone(names: Iterable[str]) -> bool:
    """Return whether names are those of a restorer, rather than of a backbone alone."""
    return any(name.startswith(BACKBONE) for name in names)
