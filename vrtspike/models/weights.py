"""Starting a network from the weights of another one: what fits is loaded, the rest is adapted, left or reported.

Names are those of state dicts. A tensor of another width is left at its initialisation: the channels of a network mean
something only together, so a slice of them is as good as noise but does not look like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import CheckpointError
from vrtspike.ops.window_attention.windows import Window

BACKBONE = 'backbone.'
"""Where a restorer holds the network that published checkpoints are of."""

BIAS_TABLE = 'relative_position_bias_table'
INDEX = 'relative_position_index'
COMPUTED = (INDEX, 'position_bias')
"""Buffers that follow from the window (and width) alone; a network makes its own."""


@dataclass
class LoadReport:
    """Names of tensors by what became of them.

    Attributes:
        loaded: As they were in the checkpoint.
        adapted: Made for another window: bias tables resampled, sine encodings and indices computed anew.
        fresh: In the network, but not (at this width) in the checkpoint: left as they were.
        unused: In the checkpoint, without a place (of that width) in the network; by the names they would have there.
    """

    loaded: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return for every part of the network (such as ``backbone.stage3``) the number of tensors in each list."""
        fates = vars(self)
        parts = dict.fromkeys(part_of(name) for names in fates.values() for name in names)
        return {
            part: {fate: sum(part_of(name) == part for name in names) for fate, names in fates.items()}
            for part in parts
        }


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> LoadReport:
    """Load into ``model`` what fits of the weights of another network, in place.

    The weights may be those of a whole restorer or of its backbone alone, whichever ``model`` is. Relative position
    tables made for another window are resampled (:func:`resample_bias_table`).

    Args:
        model: A restorer or a backbone.
        weights: Tensors by name, from :func:`~vrtspike.runtime.checkpoint_files.unwrap_state_dict`.

    Raises:
        CheckpointError: Nothing in ``weights`` fits; ``model`` is then as it was.
    """
    targets = model.state_dict()
    sources = renamed(weights, targets)
    report = LoadReport(unused=[name for name in sources if name not in targets])
    chosen = {}
    for name, target in targets.items():
        source = sources.get(name)
        if source is not None and source.shape == target.shape:
            report.loaded.append(name)
            chosen[name] = source
        elif (adapted := adapt(model, name, target, sources)) is not None:
            report.adapted.append(name)
            chosen[name] = adapted
        else:
            report.fresh.append(name)
            if source is not None:
                report.unused.append(name)
    if all(name.endswith(COMPUTED) for name in chosen):
        raise CheckpointError(
            f'nothing in the checkpoint fits the network: it holds {_examples(weights)}; the network has '
            f'{_examples(targets)}'
        )
    model.load_state_dict(targets | chosen)
    return report


def load_whole(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of just this network, or of just its backbone where it has no other part, in place.

    Raises:
        CheckpointError: They are another network's; ``model`` is then as it was.
    """
    targets = model.state_dict()
    sources = renamed(weights, targets)
    wrong = [name for name, target in targets.items() if name not in sources or sources[name].shape != target.shape]
    if wrong or sources.keys() - targets.keys():
        raise CheckpointError(
            f'the checkpoint is of another network: {len(wrong)} tensors are missing or have another shape '
            f'({", ".join(wrong[:3]) or "none"}), {len(sources.keys() - targets.keys())} have no place; '
            'give the config that it was trained with'
        )
    model.load_state_dict(sources)


def renamed(weights: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the weights by the names that they have in the network.

    A restorer's names and those of its backbone alone are taken for each other, where that finds more.
    """
    candidates = [
        weights,
        {BACKBONE + name: tensor for name, tensor in weights.items()},
        {name.removeprefix(BACKBONE): tensor for name, tensor in weights.items()},
    ]
    return max(candidates, key=lambda candidate: len(candidate.keys() & targets.keys()))


def adapt(model: nn.Module, name: str, target: Tensor, sources: Mapping[str, Tensor]) -> Tensor | None:
    """Return a tensor of ``target``'s shape made from one for another window, or None where that is not possible."""
    source = sources.get(name)
    if source is None or source.ndim != target.ndim:
        return None
    if name.endswith(COMPUTED):
        return target if source.shape[2:] == target.shape[2:] else None  # another width is no other window
    owner, _, last = name.rpartition('.')
    index = sources.get(f'{owner}.{INDEX}')
    if last != BIAS_TABLE or source.shape[1] != target.shape[1] or index is None:
        return None
    return resample_bias_table(source, window_of(index), model.get_submodule(owner).window)


def resample_bias_table(table: Tensor, window: Window, new_window: Window) -> Tensor:
    """Return a relative position bias table made for ``window`` as one for ``new_window``.

    In space the biases are stretched over the new window, bicubically and head by head, as Swin transformers are
    transferred (arXiv 2103.14030). In time they are not: two frames are as far apart in a longer window as in a shorter
    one. Offsets that no longer occur are dropped, and new ones take the bias of the longest known.

    Args:
        table: ((2t-1)*(2h-1)*(2w-1), heads).
        window: (t, h, w) that it was made for.
        new_window: (t', h', w').
    """
    t, h, w = (2 * length - 1 for length in window)
    maps = table.detach().view(t, h, w, -1).permute(0, 3, 1, 2)  # (time offsets, heads, h, w)
    size = tuple(2 * length - 1 for length in new_window[1:])
    if size != (h, w):
        maps = F.interpolate(maps, size=size, mode='bicubic', align_corners=False)
    offsets = torch.arange(1 - new_window[0], new_window[0]).clamp(1 - window[0], window[0] - 1)
    return maps[offsets + window[0] - 1].permute(0, 2, 3, 1).flatten(0, 2)


def window_of(index: Tensor) -> Window:
    """Return the window (t, h, w) that a ``relative_position_index`` (N, N) was made for.

    Its first column counts up by 1 within a row of the window, and by 2w - 1 from row to row.
    """
    steps = (index[:, 0] - index[0, 0]).tolist()
    tokens = len(steps)
    w = next((k for k in range(tokens) if steps[k] != k), tokens)
    rows = steps[::w]
    h = next((k for k in range(len(rows)) if rows[k] != k * (2 * w - 1)), len(rows))
    return tokens // (h * w), h, w


def part_of(name: str) -> str:
    """Return the part of a network that a tensor belongs to: ``backbone.stage3`` or ``spike_encoder``."""
    first, _, rest = name.partition('.')
    return f'{first}.{rest.partition(".")[0]}' if f'{first}.' == BACKBONE else first


def _examples(tensors: Mapping[str, Tensor]) -> str:
    return ', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in list(tensors.items())[:3]) + ', ...'
