"""Cheaper networks: a smaller backbone, or cheaper parts around it. Checkpoints of the config do not fit them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vrtspike.candidates.candidate import CHANGES, Candidate, Overrides
from vrtspike.candidates.setting import Setting, backbone_stages, groups_of_stage
from vrtspike.config.hooks import hooks_of

MOST_STAGES = 3


def network(name: str, overrides: Overrides, stages: str, note: str = '') -> Candidate:
    """Return a candidate that is another network."""
    return Candidate(name, CHANGES, overrides, stages, resumable=False, note=note)


def half_depth(setting: Setting) -> Iterator[Candidate]:
    """Yield half the depth of each of the costliest stages, then of all."""
    depths = list(setting.backbone.get('depths') or ())
    if not depths:
        return
    costliest = sorted(backbone_stages(list(setting.shares)), key=lambda stage: -setting.shares[stage])
    for stage in costliest[:MOST_STAGES]:
        groups = groups_of_stage(stage, len(depths))
        halved = [max(1, depth // 2) if i in groups else depth for i, depth in enumerate(depths)]
        if halved != depths:
            note = 'Fewer blocks save in proportion and cost quality.'
            yield network(f'{stage}_half_depth', {'model.backbone.depths': halved}, stage, note)
    yield network('half_depth', {'model.backbone.depths': [max(1, depth // 2) for depth in depths]}, r'stage\d')


def smaller_window(setting: Setting) -> Iterator[Candidate]:
    """Yield windows of three quarters of the side."""
    if not (setting.is_vrt and setting.backbone.get('window_size')):
        return
    frames, *sides = setting.backbone['window_size']
    smaller = [frames, *(max(2, 3 * side // 4) for side in sides)]
    if smaller != [frames, *sides]:
        note = (
            'Smaller windows save attention scores only: from 8 to 6 that is 44 % of the scores, about 17 % of a '
            'self-attention block.'
        )
        yield network('smaller_window', {'model.backbone.window_size': smaller}, r'stage\d', note)


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
        yield network('narrower', {'model.backbone.embed_dims': fewer}, r'stage\d|input|reconstruction|fuse\d')


def nearest_multiple(value: float, of: int) -> int:
    """Return the multiple of ``of`` nearest to ``value``, at least ``of`` itself."""
    return max(of, round(value / of) * of)


def student(setting: Setting) -> Iterator[Candidate]:
    """Yield the light network in place of VRT. Its flow network is frozen if VRT's was."""
    if not setting.is_vrt:
        return
    overrides: Overrides = {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}}
    for key, hook in hooks_of(setting.config).items():
        if hook.get('type') == 'FreezeHook' and 'backbone.spynet' in hook['names']:
            overrides[f'{key}.names'] = ['backbone.flow']
    yield network('student', overrides, r'stage\d|flow|input|reconstruction')


def cheaper_fusion(setting: Setting) -> Iterator[Candidate]:
    """Yield fusion by convolutions, and fusion at fewer stages."""
    if setting.part('fusion'):
        convolution = {'model.fusion': {'_delete_': True, 'type': 'ConcatFusion'}}
        note = 'Fusion by convolutions is another network, without attention along time.'
        yield network('fusion_convolution', convolution, r'fuse\d?', note)
    stages = list(setting.node('model').get('fusion_stages') or ())
    if len(stages) > 1:
        below, once = ({'model.fusion_stages': fewer} for fewer in (stages[1:], stages[:1]))
        yield network('fuse_below_full_size', below, 'fuse1?', 'Fusing at lower resolutions only is another network.')
        yield network('fuse_once', once, 'fuse[2-4]', 'Fusing once only is another network.')


def cheaper_tsa(setting: Setting) -> Iterator[Candidate]:
    """Yield a convolution along time in place of temporal self-attention, and neither of them."""
    if setting.part('tsa'):
        convolution = {'model.tsa': {'_delete_': True, 'type': 'TemporalConvolution'}}
        note = 'With a convolution along time, spike features see the neighbouring frames only.'
        yield network('tsa_convolution', convolution, 'tsa', note)
        note = 'Without temporal self-attention, spike features do not see other frames.'
        yield network('no_tsa', {'model.tsa': None}, 'tsa', note)


def narrower_encoder(setting: Setting) -> Iterator[Candidate]:
    """Yield half the channels of the spike encoder, if the number of attention heads divides them."""
    channels = setting.part('spike_encoder').get('channels')
    heads = max(setting.part(part).get('heads', 1) for part in ('tsa', 'fusion'))
    if channels and channels // 2 % heads == 0:
        note = 'The cost of the spike encoder grows with the square of its channels.'
        yield network('half_encoder', {'model.spike_encoder.channels': channels // 2}, 'spike_encoder|tsa', note)
