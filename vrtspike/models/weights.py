"""Loads weights into a network: exactly its own weights, or all weights of another network that match.

All names are those of state dicts.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import CheckpointError
from vrtspike.models.adapters import merge_adapters, with_plain_adapters
from vrtspike.ops.window_attention.windows import Window
from vrtspike.runtime.checkpoint_files import WRAPPERS, load_checkpoint_file, plain_name, unwrap_state_dict

BACKBONE = 'backbone.'
"""Prefix of the backbone's names in a restorer. Published checkpoints contain a backbone, without this prefix."""

SHOWN_NAMES = 5
MAX_PREFIX_PARTS = 4
"""How deep a network may be inside other modules, as in ``model.generator.backbone.stage1``."""

EVERY_WRAPPER = WRAPPERS | {'module'}
"""Also ``module``, which data parallelism adds to the names of single parts. The network's own names lose it too."""

PARTIAL = 0.5
"""Share of a network's weights below which a load is called partial."""

BIAS_TABLE = 'relative_position_bias_table'
INDEX = 'relative_position_index'
COMPUTED = (INDEX, 'position_bias')
"""Buffers that depend only on the window (and width); a network computes its own."""


@dataclass
class LoadReport:
    """What :func:`load_matching` did with each tensor: lists of names.

    Attributes:
        loaded: Loaded unchanged.
        adapted: Converted from another window: bias tables are resampled, sine encodings and indices computed again.
        merged: Loaded with the low-rank adapters in the checkpoint added to them.
        fresh: Missing from the checkpoint, or of another width there; they keep their initial values.
        unused: Missing from the network, or of another width there; under the names they would have in the network.
    """

    loaded: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return for every part of the network (such as ``backbone.stage3``) the number of tensors in each list."""
        lists = vars(self)
        parts = dict.fromkeys(part_of(name) for names in lists.values() for name in names)
        return {
            part: {key: sum(part_of(name) == part for name in names) for key, names in lists.items()} for part in parts
        }


def read_weights(path: str | os.PathLike, trust: bool = False) -> dict[str, Tensor]:
    """Return the weights in a checkpoint file by their names in the network.

    Args:
        path: A local file.
        trust: Unpickle files that contain more than weights.

    Raises:
        CheckpointError: The file is missing, unsafe, damaged, or contains no weights.
    """
    return unwrap_state_dict(load_checkpoint_file(path, trust), f'checkpoint {path}')


def load_exact(model: nn.Module, weights: Mapping[str, Tensor], source: str = 'the checkpoint') -> None:
    """Load the weights of exactly this network, in place.

    The weights of a backbone alone also load into a restorer that has no other part, and vice versa.

    Args:
        model: A restorer, a backbone or any other network.
        weights: Tensors by name.
        source: Name of the weights in errors.

    Raises:
        CheckpointError: Weights are missing, unknown or of another shape; ``model`` is then unchanged.
    """
    targets = model.state_dict()
    sources = merge_adapters(renamed(weights, targets), targets).weights
    check_fit(sources, targets, source)
    model.load_state_dict(sources)


def check_fit(sources: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> None:
    """Check that weights have the names and shapes of those of a network.

    Raises:
        CheckpointError: Weights are missing, unknown or of another shape.
    """
    shapes = [name for name in sources if name in targets and sources[name].shape != targets[name].shape]
    problems = {
        'missing': [name for name in targets if name not in sources],
        'not in the network': [name for name in sources if name not in targets],
        'of another shape': [f'{name} {tuple(sources[name].shape)}' for name in shapes],
    }
    found = [f'{len(names)} {problem} ({_first(names)})' for problem, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f'{source} does not fit the network. Weights: {"; ".join(found)}. Use the config of its training'
        )


def load_matching(
    model: nn.Module, weights: Mapping[str, Tensor], *, partial: bool = False, lora_alpha: float | None = None
) -> LoadReport:
    """Load all weights of another network that fit, in place.

    Weights and ``model`` may each be a whole restorer or a backbone alone. Relative position tables of another window
    are resampled (:func:`resample_bias_table`). Low-rank adapters are merged with the weights of their layers, unless
    the network has them too. A tensor of another width is not loaded: channels only have a meaning together, so a slice
    of them is no better than noise.

    Args:
        model: A restorer or a backbone.
        weights: Tensors by name, from :func:`read_weights`.
        partial: Also load weights that fill less than half of the network.
        lora_alpha: Scale times rank of the adapters in ``weights``, if they do not contain their scale.

    Raises:
        CheckpointError: Nothing in ``weights`` fits, or too little, or adapters cannot be merged; ``model`` is then
            unchanged.
    """
    targets = model.state_dict()
    merged = merge_adapters(renamed(weights, targets), targets, lora_alpha)
    sources, merged_names = merged.weights, set(merged.names)
    report = LoadReport(unused=[name for name in sources if name not in targets])
    chosen = {}
    for name, target in targets.items():
        source = sources.get(name)
        if source is not None and source.shape == target.shape:
            (report.merged if name in merged_names else report.loaded).append(name)
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
            f'nothing in the checkpoint fits the network: it contains {_examples(weights)}; the network has '
            f'{_examples(targets)}'
        )
    sizes = {name: target.numel() for name, target in targets.items() if not name.endswith(COMPUTED)}
    share = sum(size for name, size in sizes.items() if name in chosen) / sum(sizes.values())
    if share < PARTIAL and not partial:
        raise CheckpointError(
            f'only {share:.0%} of the weights of the network are in the checkpoint ({len(chosen)} of {len(targets)} '
            f'tensors). Missing: {_first(report.fresh)}. Unused in the checkpoint: {_first(report.unused) or "none"}. '
            'To start the rest from random values, set partial_load=True (--cfg-options partial_load=True)'
        )
    model.load_state_dict(targets | chosen)
    return report


def renamed(weights: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights under the names that they have in the network, low-rank adapters under ours.

    If the network is only a part of the checkpoint, such as ``generator.``, the prefix of this part is removed and the
    other parts are left out. The prefix of a restorer's backbone is removed or added as needed. The function chooses
    the prefixes with which most names match; if several parts match equally well, it prefers averaged weights
    (``generator_ema.``).
    """
    plain = {plain_name(name, EVERY_WRAPPER): name for name in targets}
    weights = with_plain_adapters({plain_name(name, EVERY_WRAPPER): tensor for name, tensor in weights.items()})
    prefix, missing = wrapping_of(weights, plain)
    outer = prefix.removesuffix(BACKBONE)
    found = {name.removeprefix(outer): tensor for name, tensor in weights.items() if name.startswith(outer)}
    if prefix != outer:
        found = {name.removeprefix(BACKBONE): tensor for name, tensor in found.items()}
    return {plain.get(missing + name, missing + name): tensor for name, tensor in found.items()}


def wrapping_of(names: Iterable[str], targets: Container[str]) -> tuple[str, str]:
    """Return the prefix to remove from ``names`` and the one to add then, so that most names are in ``targets``."""
    matches: Counter[tuple[str, str]] = Counter()
    for name in names:
        parts = name.split('.')
        for count in range(min(len(parts), MAX_PREFIX_PARTS + 1)):
            prefix = ''.join(f'{part}.' for part in parts[:count])
            matches.update((prefix, added) for added in ('', BACKBONE) if added + name[len(prefix) :] in targets)
    return max(matches, key=lambda pair: (matches[pair], 'ema' in pair[0], -len(pair[0])), default=('', ''))


def adapt(model: nn.Module, name: str, target: Tensor, sources: Mapping[str, Tensor]) -> Tensor | None:
    """Return a tensor of ``target``'s shape made from that of another window, or None if that is impossible."""
    source = sources.get(name)
    if source is None or source.ndim != target.ndim:
        return None
    if name.endswith(COMPUTED):
        return target if source.shape[2:] == target.shape[2:] else None  # another width, not another window
    owner, _, last = name.rpartition('.')
    index = sources.get(f'{owner}.{INDEX}')
    if last != BIAS_TABLE or source.shape[1] != target.shape[1] or index is None:
        return None
    if index.ndim != 2 or not len(index):
        return None
    window = window_of(index)
    if math.prod(2 * length - 1 for length in window) != len(source):
        return None  # the index belongs to another table
    return resample_bias_table(source, window, model.get_submodule(owner).window)


def resample_bias_table(table: Tensor, window: Window, new_window: Window) -> Tensor:
    """Return a relative position bias table made for ``window`` as one for ``new_window``.

    In space, the biases are interpolated bicubically, as in Swin (arXiv 2103.14030). In time they are not interpolated,
    because an offset of one frame means the same in every window: offsets that no longer occur are dropped, and new
    offsets get the bias of the longest known offset.

    Args:
        table: ((2t-1)*(2h-1)*(2w-1), heads).
        window: (t, h, w) of the table.
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
    """Return the window (t, h, w) of a ``relative_position_index`` (N, N).

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


def _first(names: list[str]) -> str:
    return ', '.join([*names[:SHOWN_NAMES], *(['...'] if len(names) > SHOWN_NAMES else [])])
