"""The names of stages in the logs of the older code, and ours for them.

In these logs the time of a root includes its children. So that no millisecond is counted twice, a root with known
children is split into these and a rest.
"""

from __future__ import annotations

import re

FORWARD = '前向传播总耗时'
TIME = r'\d+(?:\.\d+)?'
"""Milliseconds in the older logs."""

ROOTS = {
    'VRT处理': 'vrt',
    'VRT处理与融合': 'vrt',
    'Spike编码器': 'spike_encoder',
    'Spike时间自注意力': 'tsa',
    'VRT融合': 'fuse',
}
DETAILS = {
    '维度转换': 'permute',
    '转换': 'permute',
    '块处理': 'chunks',
    'Self-Attention': 'self_attention',
    'Cross-Attention': 'cross_attention',
    'FFN': 'ffn',
    'LayerNorm': 'layer_norm',
}


def stage_of(path: str) -> str:
    """Return our name for a path in the older logs: 'VRT处理/Stage8' is 'stage8', 'VRT融合/FFN' is 'fuse/ffn'.

    Unknown names stay as they are.

    >>> stage_of('Spike编码器/尺度0')
    'spike_encoder/scale0'
    """
    root, *details = path.split('/')
    root = ROOTS.get(root, root)
    for detail in details:
        scale = re.fullmatch(r'尺度(\d+)', detail)
        stage = re.fullmatch(r'Stage ?(\d+)', detail)
        if stage and root == 'vrt':
            root = f'stage{stage[1]}'
        else:
            root += f'/scale{scale[1]}' if scale else f'/{DETAILS.get(detail, detail)}'
    return root


def row_of(forward_ms: float, roots: dict[str, float], stages: dict[str, float], parts: dict[str, float]) -> dict:
    """Return the columns of one forward pass. Time without a name becomes ``vrt_rest`` and ``other``.

    Args:
        forward_ms: Time of the whole forward pass.
        roots: Times by root; 'vrt' includes the stages and fusions of VRT.
        stages: Times of the stages and fusions of VRT.
        parts: Times of the parts of stages and roots, by '<stage>/<part>'.
    """
    roots = dict(roots)
    vrt_ms = roots.pop('vrt', None)
    leaves = roots | stages
    if vrt_ms is not None:
        leaves['vrt_rest' if stages else 'vrt'] = max(vrt_ms - sum(stages.values()), 0.0)
    accounted = sum(leaves.values())
    leaves['other'] = max(forward_ms - accounted, 0.0)
    row = {'iteration_ms': forward_ms, 'accounted_ms': accounted}
    for group, times in (('stages', leaves), ('parts', parts)):
        for name, ms in times.items():
            row[f'{group}/{name}/forward_ms'] = row[f'{group}/{name}/total_ms'] = ms
    return row
