"""Activation checkpointing: time against memory, with the same gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vrtspike.candidates.attention import ATTENTION_STAGES
from vrtspike.candidates.candidate import EXACT, Candidate, Purpose
from vrtspike.candidates.setting import Setting, groups_of_stage

SWITCHES_BY_POLICY = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}
"""``use_checkpoint_attn`` and ``use_checkpoint_ffn`` that do the same as a policy."""


def checkpointing_policies(setting: Setting) -> Iterator[Candidate]:
    """Yield VRT's checkpointing policies."""
    if not (setting.is_vrt and setting.trains):
        return
    switches = tuple(setting.backbone.get(f'use_checkpoint_{part}', False) for part in ('attn', 'ffn'))
    uses_switches = setting.backbone.get('checkpointing') is None
    for policy, same in SWITCHES_BY_POLICY.items():
        yield Candidate(
            name=f'checkpointing_{policy}',
            kind=EXACT,
            overrides={'model.backbone.checkpointing': policy},
            stages=ATTENTION_STAGES,
            unavailable='does_already' if uses_switches and switches == same else '',
            note='Where all of it fits into memory, keep every activation.' if policy == 'none' else '',
        )


def fewer_checkpoints(setting: Setting) -> Iterator[Candidate]:
    """Yield keeping the activations of the stages whose recomputation takes longest."""
    depths = setting.backbone.get('depths')
    if not (setting.is_vrt and setting.recomputed and depths):
        return
    stages = [stage for stage in setting.recomputed if re.fullmatch(r'stage[1-8]', stage)][:2] or ['stage1']
    groups = sorted(group for stage in stages for group in groups_of_stage(stage, len(depths)))
    yield Candidate(
        name='keep_activations',
        kind=EXACT,
        overrides={
            'model.backbone.no_checkpoint_attn_blocks': groups,
            'model.backbone.no_checkpoint_ffn_blocks': groups,
        },
        stages='|'.join(stages),
        purpose=Purpose.TRAINING,
        note=f'Where memory is left, keep those of {" and ".join(sorted(stages))} first; groups count from 0.',
    )


def checkpoint_everything(setting: Setting) -> Iterator[Candidate]:
    """Yield checkpointing of every block, by the policy or the switches that the config uses."""
    accepted = setting.backbone_defaults
    switches = [name for name in ('use_checkpoint_attn', 'use_checkpoint_ffn') if name in accepted]
    policy = setting.backbone.get('checkpointing')  # overrules the switches where it is given
    if policy is not None:
        overrides = {'model.backbone.checkpointing': 'all'} if policy != 'all' else {}
    elif all(setting.backbone.get(name, accepted[name]) for name in switches):
        overrides = {}
    else:
        overrides = {f'model.backbone.{name}': True for name in switches}
    if overrides:
        yield Candidate(name='checkpointing', kind=EXACT, overrides=overrides, purpose=Purpose.MEMORY)
