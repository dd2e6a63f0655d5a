"""What may make a config faster: each remedy with the lines that apply it, and the stages that it concerns."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from vrtspike.config.schema import hooks_of
from vrtspike.optim.amp import resolve_dtype
from vrtspike.runtime.environment import usable_cores

Overrides = dict[str, Any]

KINDS = EXACT, PRECISION, CHANGES = 'exact', 'precision', 'changes'
"""Computes the same function; the same with fewer bits; another network."""

WORKERS = (0, 1, 2, 4, 8, 16)
WORKERS_KEY = 'train_dataloader.num_workers'


@dataclass(frozen=True)
class Remedy:
    """One change of a config.

    Args:
        name: What reports call it.
        kind: :data:`EXACT`, :data:`PRECISION` or :data:`CHANGES`.
        overrides: Dotted keys and values.
        stages: Pattern of the stages that it can make cheaper; their share bounds what it can save.
        missing: Why it cannot be tried here, by its name among the report's words; empty where it can.
        costly: Whether it takes minutes to measure: it is tried last.
    """

    name: str
    kind: str
    overrides: Overrides = field(default_factory=dict)
    stages: str = '.*'
    missing: str = ''
    costly: bool = False

    def most(self, shares: Mapping[str, float]) -> float:
        """Return the share of the iteration that it can save at most."""
        return sum(share for stage, share in shares.items() if re.fullmatch(self.stages, stage))


def remedies_for(config: Any, device: torch.device, shares: Mapping[str, float], objective: str) -> list[Remedy]:
    """Return what can be tried on a config: exact remedies first, then precision, then other networks.

    Args:
        config: A loaded config.
        device: Where it is measured.
        shares: Share of the iteration by stage.
        objective: 'train' or 'infer'; checkpointing concerns training alone.
    """
    groups: list[Callable[[], Iterable[Remedy]]] = [
        lambda: exact_of_vrt(config, device, objective),
        lambda: chunks(config),
        lambda: data_workers(config, objective),
        lambda: precision(config) if objective == 'train' else restoring_precision(config, device),
        lambda: shallower(config, shares),
        lambda: narrower(config),
        lambda: fusion(config),
        lambda: other_parts(config),
    ]
    found: list[Remedy] = []
    for remedy in (remedy for group in groups for remedy in group()):
        known = is_set(config, remedy.overrides) or any(remedy.overrides == other.overrides for other in found)
        found += [] if known else [remedy]
    return found


def exact_of_vrt(config: Any, device: torch.device, objective: str) -> Iterable[Remedy]:
    """Yield the backends, checkpointing policies and compilation of VRT."""
    if config.model.backbone.type != 'VRT':
        return
    attention = r'stage\d|fuse\d'
    yield Remedy('attention_sdpa', EXACT, {'model.backbone.attn_type': 'sdpa'}, attention)
    no_flex = 'no_flex' if device.type == 'cpu' and objective == 'train' else ''
    yield Remedy('attention_flex', EXACT, {'model.backbone.attn_type': 'flex'}, attention, no_flex)
    no_flash = '' if device.type == 'cuda' else 'no_flash'
    yield Remedy('attention_flash', EXACT, {'model.backbone.attn_type': 'flash'}, attention, no_flash)
    if objective == 'train':
        for policy in ('none', 'ffn', 'attn', 'all'):
            overrides = {'model.backbone.checkpointing': policy}
            yield Remedy(f'checkpointing_{policy}', EXACT, overrides, attention, already(config, policy))
    compiler = '' if device.type == 'cuda' or shutil.which('g++') else 'no_compiler'
    yield Remedy('compile', EXACT, {'model.backbone.compile_mode': 'default'}, attention, compiler, costly=True)
    graphs = '' if device.type == 'cuda' else 'no_graphs'
    captured = {'model.backbone.compile_mode': 'reduce-overhead'}
    yield Remedy('cuda_graphs', EXACT, captured, attention, graphs, costly=True)


def already(config: Any, policy: str) -> str:
    """Return why a policy need not be tried: the config's checkpointing is that one in other words."""
    backbone = config.model.backbone
    switches = backbone.get('use_checkpoint_attn', False), backbone.get('use_checkpoint_ffn', False)
    same = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}[policy]
    if backbone.get('checkpointing') is None and switches == same:
        return 'does_already'
    return ''


def chunks(config: Any) -> Iterable[Remedy]:
    """Yield larger chunks of the attention along time."""
    for part, stages in (('tsa', 'tsa'), ('fusion', r'fuse\d')):
        node = config.model.get(part) or {}
        if 'chunk_size' in node:
            overrides = {f'model.{part}.max_batch_tokens': 65535, f'model.{part}.chunk_size': 256}
            yield Remedy(f'{part}_chunks', EXACT, overrides, stages)


def data_workers(config: Any, objective: str) -> Iterable[Remedy]:
    """Yield other numbers of processes that read the training data, as far as there are cores for them."""
    if objective != 'train':
        return
    loader = config.train_dataloader
    least = 1 if loader.get('prefetch_factor') else 0  # a loader without processes refuses to read ahead
    for workers in range(least, usable_cores() + 1):
        if workers in WORKERS and workers != loader.get('num_workers', 0):
            overrides = {WORKERS_KEY: workers, 'train_dataloader.persistent_workers': workers > 0}
            yield Remedy(f'data_workers_{workers}', EXACT, overrides, 'data')


def reads_data(overrides: Overrides) -> bool:
    """Whether overrides change how batches are read, which only a step that waits for its batch can tell."""
    return WORKERS_KEY in overrides


def precision(config: Any) -> Iterable[Remedy]:
    """Yield automatic mixed precision, and the flow network in it."""
    wrapper = config.get('optim_wrapper') or {}
    amp = {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'auto'}
    with_amp = 'Amp' in wrapper.get('type', '')
    if not with_amp:
        yield Remedy('amp', PRECISION, amp)
    if config.model.backbone.type == 'VRT':
        flow = {'model.backbone.flow_precision': 'autocast', **({} if with_amp else amp)}
        yield Remedy('flow_in_amp', PRECISION, flow, 'flow' if with_amp else '.*')


def restoring_precision(config: Any, device: torch.device) -> Iterable[Remedy]:
    """Yield restoring under autocast, and the flow network in it; how a network was trained decides neither."""
    fewer = str(resolve_dtype('auto', device)).removeprefix('torch.')
    amp = {'model.tiling.precision': fewer}
    in_amp = value_at(config, 'model.tiling.precision') in ('bfloat16', 'float16')
    if not in_amp:
        yield Remedy('restoring_amp', PRECISION, amp)
    if config.model.backbone.type == 'VRT':
        flow = {'model.backbone.flow_precision': 'autocast', **({} if in_amp else amp)}
        yield Remedy('restoring_flow_in_amp', PRECISION, flow, 'flow' if in_amp else '.*')


def shallower(config: Any, shares: Mapping[str, float], most: int = 3) -> Iterable[Remedy]:
    """Yield half the depth of the stages that cost most."""
    depths = list(config.model.backbone.get('depths') or ())
    if not depths:
        return
    stages = sorted((name for name in shares if re.fullmatch(r'stage[1-8]', name)), key=lambda name: -shares[name])
    for name in stages[:most]:
        groups = groups_of(int(name.removeprefix('stage')), len(depths))
        halved = [max(1, depth // 2) if i in groups else depth for i, depth in enumerate(depths)]
        if halved != depths:
            yield Remedy(f'{name}_half_depth', CHANGES, {'model.backbone.depths': halved}, name)
    half = [max(1, depth // 2) for depth in depths]
    yield Remedy('half_depth', CHANGES, {'model.backbone.depths': half}, r'stage\d')


def groups_of(stage: int, number: int) -> range:
    """Return which of a backbone's ``number`` depths belong to a stage; all from the eighth on to the last."""
    return range(7, number) if stage == 8 else range(stage - 1, stage)


def narrower(config: Any) -> Iterable[Remedy]:
    """Yield smaller windows and two thirds of the width."""
    backbone = config.model.backbone
    if backbone.type != 'VRT':
        return
    frames, *side = backbone.window_size
    smaller = [frames, *(max(2, 3 * n // 4) for n in side)]
    if smaller != list(backbone.window_size):
        yield Remedy('smaller_window', CHANGES, {'model.backbone.window_size': smaller}, r'stage\d')
    heads = list(backbone.num_heads)
    # In steps that every head, and every offset group, divides evenly.
    width = [multiple(2 * dim / 3, 2 * head * backbone.get('deformable_groups', 16) // common(head, backbone))
             for dim, head in zip(backbone.embed_dims, heads, strict=True)]  # fmt: skip
    if width != list(backbone.embed_dims):
        yield Remedy('narrower', CHANGES, {'model.backbone.embed_dims': width}, r'stage\d|input|reconstruction|fuse\d')


def common(head: int, backbone: Any) -> int:
    """Return the greatest common divisor of the heads and the groups of offsets."""
    return math.gcd(2 * head, backbone.get('deformable_groups', 16))


def multiple(value: float, of: int) -> int:
    """Return the multiple of ``of`` nearest to ``value``, at least one."""
    return max(of, round(value / of) * of)


def fusion(config: Any) -> Iterable[Remedy]:
    """Yield fusion by convolutions, and at fewer places."""
    if config.model.get('fusion'):
        concatenated = {'model.fusion': {'_delete_': True, 'type': 'ConcatFusion'}}
        yield Remedy('fusion_convolution', CHANGES, concatenated, r'fuse\d')
    stages = list(config.model.get('fusion_stages') or ())
    if len(stages) > 1:
        yield Remedy('fuse_below_full_size', CHANGES, {'model.fusion_stages': stages[1:]}, r'fuse1')
        yield Remedy('fuse_once', CHANGES, {'model.fusion_stages': stages[:1]}, r'fuse[2-4]')


def other_parts(config: Any) -> Iterable[Remedy]:
    """Yield a cheaper TSA and none, a narrower encoder, and the light student."""
    model = config.model
    if model.get('tsa'):
        convolution = {'model.tsa': {'_delete_': True, 'type': 'TemporalConvolution'}}
        yield Remedy('tsa_convolution', CHANGES, convolution, 'tsa')
        yield Remedy('no_tsa', CHANGES, {'model.tsa': None}, 'tsa')
    channels = (model.get('spike_encoder') or {}).get('channels')
    heads = max((model.get(part) or {}).get('heads', 1) for part in ('tsa', 'fusion'))
    if channels and channels // 2 % heads == 0:
        yield Remedy('half_encoder', CHANGES, {'model.spike_encoder.channels': channels // 2}, 'spike_encoder|tsa')
    if model.backbone.type == 'VRT':
        student: Overrides = {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}}
        for path, hook in hooks_of(config).items():
            if hook.type == 'FreezeHook' and 'backbone.spynet' in hook.names:
                student[f'{path}.names'] = ['backbone.flow']
        yield Remedy('student', CHANGES, student, r'stage\d|flow|input|reconstruction')


def is_set(config: Any, overrides: Overrides) -> bool:
    """Whether a config holds every value of ``overrides`` already."""
    return all(holds(value_at(config, key), value) for key, value in overrides.items())


def holds(found: Any, wanted: Any) -> bool:
    """Whether a node of a config is the wanted one, which may be a replacement."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return dict(found) == {key: value for key, value in wanted.items() if key != '_delete_'}
    return found == wanted


def value_at(config: Any, key: str) -> Any:
    """Return a config's value at a dotted key, None where there is none."""
    node: Any = getattr(config, '_cfg_dict', config)
    for step in key.split('.'):
        if not isinstance(node, Mapping):
            return None
        node = node.get(step)
    return node


def published_path(config: Any) -> Overrides | None:
    """Return what makes VRT compute as the published code does: plain operators in float32; None for others."""
    if config.model.backbone.type != 'VRT':
        return None
    overrides: Overrides = {'model.backbone.attn_type': 'reference', 'model.backbone.flow_precision': 'float32'}
    if value_at(config, 'model.backbone.compile_mode'):
        overrides['model.backbone.compile_mode'] = None
    if value_at(config, 'model.tiling.precision'):
        overrides['model.tiling.precision'] = 'float32'
    wrapper = dict(config.get('optim_wrapper') or {})
    if 'Amp' in wrapper.get('type', ''):
        kept = {key: value for key, value in wrapper.items() if key not in ('type', 'dtype', 'loss_scale')}
        overrides['optim_wrapper'] = {'_delete_': True, 'type': 'OptimWrapper', **kept}
    return overrides
