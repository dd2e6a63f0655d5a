"""What the baseline holds for its backward pass, by what is checkpointed, in docs/troubleshooting.md.

Nothing is measured: the network runs on tensors without values, so the numbers are the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

from vrtspike.errors import VrtSpikeError
from writers.places import Place
from writers.wording import table

PLAIN = {'model.backbone.use_checkpoint_attn': False, 'model.backbone.use_checkpoint_ffn': False}
SETTINGS = {
    'two clips, no checkpointing': {**PLAIN, 'train_dataloader.batch_size': 2},
    'one clip, no checkpointing': PLAIN,
    '`use_checkpoint_attn=True`': {**PLAIN, 'model.backbone.use_checkpoint_attn': True},
    '`use_checkpoint_attn=True use_checkpoint_ffn=True` (the baseline)': {},
    'and `max_batch_tokens=8192`': {'model.fusion.max_batch_tokens': 8192, 'model.tsa.max_batch_tokens': 8192},
}
"""What is set in the baseline."""


def places(root: Path) -> list[Place]:
    rows = [(setting, f'{held_mib(root, overrides):,.0f}') for setting, overrides in SETTINGS.items()]
    return [Place('docs/troubleshooting.md', 'held', table([('config', 'held, MiB'), *rows], 'lr'))]


def held_mib(root: Path, overrides: dict[str, object]) -> float:
    """Return what the baseline holds with ``overrides``, all stages together."""
    from vrtspike.config import load_config
    from vrtspike.engine.out_of_memory import estimate

    held = estimate(load_config(root / 'configs/vrt_spike_baseline.py', overrides=overrides))
    if isinstance(held, str):
        raise VrtSpikeError(f'{overrides}: {held}')
    return sum(held.values())
