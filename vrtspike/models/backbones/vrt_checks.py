"""Checks of VRT's arguments: one error that lists every problem; see :class:`~vrtspike.models.backbones.vrt.VRT`."""

from __future__ import annotations

from collections.abc import Sequence

from vrtspike.errors import ConfigError
from vrtspike.models.backbones.staged import STAGES


def check_groups(
    depths: Sequence[int], embed_dims: Sequence[int], num_heads: Sequence[int], indep_reconsts: Sequence[int]
) -> None:
    """Raise :class:`ConfigError` if the lists of groups disagree."""
    lengths = {'depths': len(depths), 'embed_dims': len(embed_dims), 'num_heads': len(num_heads)}
    if len(set(lengths.values())) > 1 or len(depths) <= STAGES:
        found = ', '.join(f'{name} has {length}' for name, length in lengths.items())
        raise ConfigError(
            f'VRT: depths, embed_dims and num_heads need one entry for each of stages 1-{STAGES} and one for each '
            f'group of stage 8, so at least {STAGES + 1}; found: {found}'
        )
    unknown = [i for i in indep_reconsts if not STAGES <= i < len(depths)]
    if unknown:
        raise ConfigError(
            f'VRT: indep_reconsts={list(indep_reconsts)} has indices that are not groups of stage 8: {unknown}; '
            f'valid indices are {list(range(STAGES, len(depths)))}'
        )


def check_sizes(
    embed_dims: Sequence[int],
    num_heads: Sequence[int],
    deformable_groups: int,
    pa_frames: int,
    upscale: int,
    window_size: Sequence[int],
) -> None:
    """Raise :class:`ConfigError` if sizes are not divisible, or if features that are added differ in width."""
    problems = []
    for i, (channels, heads) in enumerate(zip(embed_dims, num_heads, strict=True)):
        if channels % heads:
            problems.append(f'embed_dims[{i}] = {channels} is not a multiple of num_heads[{i}] = {heads}')
    for i, j in ((4, 2), (5, 1), (6, 0)):
        if embed_dims[i] != embed_dims[j]:
            problems.append(
                f'the features of stages {i + 1} and {j + 1} are added, but embed_dims[{i}] = {embed_dims[i]} and '
                f'embed_dims[{j}] = {embed_dims[j]}'
            )
    if pa_frames not in (0, 2, 4, 6):
        problems.append(f'pa_frames = {pa_frames} is not one of 0, 2, 4, 6')
    elif pa_frames:
        problems += warping_problems(embed_dims[:STAGES], pa_frames // 2, deformable_groups)
    if upscale < 1 or upscale & (upscale - 1):
        problems.append(f'upscale = {upscale} is not a power of 2')
    if len(window_size) != 3 or min(window_size) < 1:
        problems.append(f'window_size = {list(window_size)} is not three positive lengths (t, h, w)')
    if problems:
        raise ConfigError(f'VRT: {"; ".join(problems)}')


def check_frames(found: int, expected: int) -> None:
    """Raise :class:`ConfigError` unless a clip for frame interpolation has the expected number of frames."""
    if found != expected:
        raise ConfigError(
            f'VRT: a network for frame interpolation (pa_frames=0) takes clips of img_size[0] = {expected} frames, '
            f'found {found}'
        )


def warping_problems(channels: Sequence[int], neighbours: int, deformable_groups: int) -> list[str]:
    """Return an error for channels of stages 1-7 that the deformable convolution cannot divide into its groups."""
    problems = []
    ungrouped = [c for c in channels if c % neighbours]
    if ungrouped:
        problems.append(
            f'embed_dims has {ungrouped[0]} channels, but pa_frames = {2 * neighbours} needs a multiple of '
            f'{neighbours}, the number of neighbours on one side'
        )
    undivided = [c for c in channels if c * neighbours % deformable_groups]
    if undivided:
        product = f'{undivided[0]} channels x {neighbours}'
        problems.append(f'{product} do not divide into {deformable_groups} deformable_groups')
    return problems
