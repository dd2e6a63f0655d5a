"""Attention kernels and compilation: the same function, computed by other code."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.candidates.candidate import EXACT, Candidate
from vrtspike.candidates.setting import Setting

ATTENTION_STAGES = r'stage\d|fuse\d?'


def attention_backends(setting: Setting) -> Iterator[Candidate]:
    """Yield the implementations of VRT's window attention."""
    if not setting.is_vrt:
        return
    on_gpu = setting.device == 'cuda'
    unavailable = {
        'sdpa': '',
        'flex': 'no_flex' if setting.device == 'cpu' and setting.trains else '',
        'flash': '' if on_gpu else 'no_flash',
    }
    for backend, reason in unavailable.items():
        yield Candidate(
            name=f'attention_{backend}',
            kind=EXACT,
            overrides={'model.backbone.attn_type': backend},
            stages=ATTENTION_STAGES,
            unavailable=reason,
        )


def compilation(setting: Setting) -> Iterator[Candidate]:
    """Yield ``torch.compile`` of VRT's blocks, and CUDA graphs of them."""
    if not setting.is_vrt:
        return
    on_gpu = setting.device == 'cuda'
    yield Candidate(
        name='compile',
        kind=EXACT,
        overrides={'model.backbone.compile_mode': 'default'},
        stages=ATTENTION_STAGES,
        unavailable='' if on_gpu or setting.has_compiler else 'no_compiler',
        slow_to_measure=True,
        note='Compiled blocks start fewer kernels.',
    )
    yield Candidate(
        name='cuda_graphs',
        kind=EXACT,
        overrides={'model.backbone.compile_mode': 'reduce-overhead'},
        stages=ATTENTION_STAGES,
        unavailable='' if on_gpu else 'no_graphs',
        slow_to_measure=True,
    )
