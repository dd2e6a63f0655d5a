"""The same function, by other kernels, with other checkpointing, in other chunks, or in lower precision."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.candidates.candidate import EXACT, PRECISION, Candidate, Overrides, Purpose, value_at
from vrtspike.candidates.setting import Setting, backbone_stages, groups_of_stage

ATTENTION_STAGES = r'stage\d|fuse\d?'

SWITCHES_BY_POLICY = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}
"""Values of ``use_checkpoint_attn`` and ``use_checkpoint_ffn`` that do the same as each policy."""

LARGE_CHUNK = {'max_batch_tokens': 65535, 'chunk_size': 256}
FEW_TOKENS = 8192
AMP: Overrides = {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'auto'}


def attention_backends(setting: Setting) -> Iterator[Candidate]:
    """Yield the implementations of VRT's window attention."""
    if setting.is_vrt:
        no_flex = 'no_flex' if setting.device == 'cpu' and setting.trains else ''
        no_flash = '' if setting.device == 'cuda' else 'no_flash'
        for backend, reason in (('sdpa', ''), ('flex', no_flex), ('flash', no_flash)):
            overrides = {'model.backbone.attn_type': backend}
            yield Candidate(f'attention_{backend}', EXACT, overrides, ATTENTION_STAGES, unavailable=reason)


def compilation(setting: Setting) -> Iterator[Candidate]:
    """Yield ``torch.compile`` of VRT's blocks, and CUDA graphs of them."""
    if setting.is_vrt:
        on_gpu = setting.device == 'cuda'
        compiled = '' if on_gpu or setting.has_compiler else 'no_compiler'
        rows = (
            ('compile', 'default', compiled, 'Compiled blocks start fewer kernels.'),
            ('cuda_graphs', 'reduce-overhead', '' if on_gpu else 'no_graphs', ''),
        )
        for name, mode, reason, note in rows:
            slow = {'unavailable': reason, 'slow_to_measure': True, 'note': note}
            yield Candidate(name, EXACT, {'model.backbone.compile_mode': mode}, ATTENTION_STAGES, **slow)


def checkpointing_policies(setting: Setting) -> Iterator[Candidate]:
    """Yield VRT's checkpointing policies."""
    if not (setting.is_vrt and setting.trains):
        return
    switches = tuple(setting.backbone.get(f'use_checkpoint_{part}', False) for part in ('attn', 'ffn'))
    uses_switches = setting.backbone.get('checkpointing') is None
    for policy, same in SWITCHES_BY_POLICY.items():
        overrides = {'model.backbone.checkpointing': policy}
        reason = 'does_already' if uses_switches and switches == same else ''
        note = 'If all of it fits into memory, keep every activation.' if policy == 'none' else ''
        name = f'checkpointing_{policy}'
        yield Candidate(name, EXACT, overrides, ATTENTION_STAGES, unavailable=reason, note=note)


def fewer_checkpoints(setting: Setting) -> Iterator[Candidate]:
    """Yield training without checkpointing in the two stages that take longest to recompute."""
    depths = setting.backbone.get('depths')
    if setting.is_vrt and setting.recomputed and depths:
        stages = backbone_stages(setting.recomputed)[:2] or ['stage1']
        groups = sorted(group for stage in stages for group in groups_of_stage(stage, len(depths)))
        overrides = {f'model.backbone.no_checkpoint_{part}_blocks': groups for part in ('attn', 'ffn')}
        note = f'If memory is left, keep those of {" and ".join(sorted(stages))} first; groups count from 0.'
        yield Candidate('keep_activations', EXACT, overrides, '|'.join(stages), Purpose.TRAINING, note=note)


def checkpoint_everything(setting: Setting) -> Iterator[Candidate]:
    """Yield checkpointing of every block, by the policy or the switches that the config uses."""
    accepted = setting.backbone_defaults
    switches = [name for name in ('use_checkpoint_attn', 'use_checkpoint_ffn') if name in accepted]
    if setting.backbone.get('checkpointing') is not None:  # it overrules the switches
        overrides = {'model.backbone.checkpointing': 'all'}
    else:
        overrides = {f'model.backbone.{name}': True for name in switches}
        if all(setting.backbone.get(name, accepted[name]) for name in switches):
            return
    yield Candidate('checkpointing', EXACT, overrides, purpose=Purpose.MEMORY)


def larger_chunks(setting: Setting) -> Iterator[Candidate]:
    """Yield larger chunks of temporal self-attention and of fusion."""
    for part, stages in (('tsa', 'tsa'), ('fusion', r'fuse\d?')):
        if 'chunk_size' in setting.part(part):
            overrides = {f'model.{part}.{key}': value for key, value in LARGE_CHUNK.items()}
            note = 'Larger chunks need fewer calls and change nothing else.'
            yield Candidate(f'{part}_chunks', EXACT, overrides, stages, note=note)


def smaller_chunks(setting: Setting) -> Iterator[Candidate]:
    """Yield smaller chunks of every part with large chunks."""
    large = [part for part in ('tsa', 'fusion') if setting.part(part).get('max_batch_tokens', 0) > FEW_TOKENS]
    overrides = {f'model.{part}.max_batch_tokens': FEW_TOKENS for part in large}
    overrides |= {f'model.{part}.adaptive_chunk': True for part in large}
    if overrides:
        yield Candidate('chunks', EXACT, overrides, purpose=Purpose.MEMORY)


def lower_precision(setting: Setting) -> Iterator[Candidate]:
    """Yield autocast, and autocast of the flow network too. Restoring has its own setting of precision."""
    if setting.autocast_dtype == 'float32':
        return
    if setting.trains:
        prefix, amp, used = '', AMP, 'Amp' in setting.node('optim_wrapper').get('type', '')
    else:
        prefix, amp = 'restoring_', {'model.tiling.precision': setting.autocast_dtype}
        used = value_at(setting.config, 'model.tiling.precision') in ('bfloat16', 'float16')
    if not used:
        yield Candidate(f'{prefix}amp', PRECISION, amp, note='Mixed precision first.')
    if setting.is_vrt:
        flow: Overrides = {'model.backbone.flow_precision': 'autocast'}
        yield Candidate(f'{prefix}flow_in_amp', PRECISION, flow if used else flow | amp, 'flow' if used else '.*')
