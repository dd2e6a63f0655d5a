"""Smaller backbones: fewer blocks, smaller windows, fewer channels, or the light network instead of VRT."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vrtspike.candidates.candidate import CHANGES, Candidate, Overrides
from vrtspike.candidates.setting import Setting, groups_of_stage
from vrtspike.config.schema import hooks_of

MOST_STAGES = 3


def half_depth(setting: Setting) -> Iterator[Candidate]:
    """Yield half the depth of each of the costliest stages, then of all."""
    depths = list(setting.backbone.get('depths') or ())
    if not depths:
        return
    for stage in setting.costliest_backbone_stages(MOST_STAGES):
        groups = groups_of_stage(stage, len(depths))
        halved = [max(1, depth // 2) if i in groups else depth for i, depth in enumerate(depths)]
        if halved != depths:
            yield Candidate(
                name=f'{stage}_half_depth',
                kind=CHANGES,
                overrides={'model.backbone.depths': halved},
                stages=stage,
                resumable=False,
                note='Fewer blocks save in proportion and cost quality.',
            )
    yield Candidate(
        name='half_depth',
        kind=CHANGES,
        overrides={'model.backbone.depths': [max(1, depth // 2) for depth in depths]},
        stages=r'stage\d',
        resumable=False,
    )


def smaller_window(setting: Setting) -> Iterator[Candidate]:
    """Yield windows of three quarters of the side."""
    if not (setting.is_vrt and setting.backbone.get('window_size')):
        return
    frames, *sides = setting.backbone['window_size']
    smaller = [frames, *(max(2, 3 * side // 4) for side in sides)]
    if smaller != [frames, *sides]:
        yield Candidate(
            name='smaller_window',
            kind=CHANGES,
            overrides={'model.backbone.window_size': smaller},
            stages=r'stage\d',
            resumable=False,
            note='Smaller windows save attention scores only: from 8 to 6 that is 44 % of the scores, about 17 % of a '
            'self-attention block.',
        )


def narrower(setting: Setting) -> Iterator[Candidate]:
    """Yield two thirds of VRT's channels."""
    if not (setting.is_vrt and setting.backbone.get('embed_dims')):
        return
    channels, heads = list(setting.backbone['embed_dims']), setting.backbone['num_heads']
    groups = setting.backbone.get('deformable_groups', 16)
    # Every head and every group of offsets gets the same number of channels, and heads an even one.
    multiples = [math.lcm(2 * head, groups) for head in heads]
    fewer = [nearest_multiple(2 * dim / 3, of) for dim, of in zip(channels, multiples, strict=True)]
    if fewer != channels:
        yield Candidate(
            name='narrower',
            kind=CHANGES,
            overrides={'model.backbone.embed_dims': fewer},
            stages=r'stage\d|input|reconstruction|fuse\d',
            resumable=False,
        )


def nearest_multiple(value: float, of: int) -> int:
    """Return the multiple of ``of`` nearest to ``value``, at least ``of`` itself."""
    return max(of, round(value / of) * of)


def student(setting: Setting) -> Iterator[Candidate]:
    """Yield the light network in place of VRT, with its flow network frozen where VRT's was."""
    if not setting.is_vrt:
        return
    overrides: Overrides = {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}}
    for key, hook in hooks_of(setting.config).items():
        if hook.get('type') == 'FreezeHook' and 'backbone.spynet' in hook['names']:
            overrides[f'{key}.names'] = ['backbone.flow']
    yield Candidate(
        name='student',
        kind=CHANGES,
        overrides=overrides,
        stages=r'stage\d|flow|input|reconstruction',
        resumable=False,
    )
