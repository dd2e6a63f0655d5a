"""Write into docs/troubleshooting.md what the baseline holds for its backward pass, by what is checkpointed.

Nothing is measured: the network runs on tensors without values, so the numbers are the same everywhere. Takes a minute.

Examples:
    python benchmarks/held_table.py
    python benchmarks/held_table.py --check
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from results_table import ROOT, update

PLAIN = {'model.backbone.use_checkpoint_attn': False, 'model.backbone.use_checkpoint_ffn': False}
SETTINGS = {
    'two clips, no checkpointing': {**PLAIN, 'train_dataloader.batch_size': 2},
    'one clip, no checkpointing': PLAIN,
    '`use_checkpoint_attn=True`': {**PLAIN, 'model.backbone.use_checkpoint_attn': True},
    '`use_checkpoint_attn=True use_checkpoint_ffn=True` (the baseline)': {},
    'and `max_batch_tokens=8192`': {'model.fusion.max_batch_tokens': 8192, 'model.tsa.max_batch_tokens': 8192},
}
"""What is set in the baseline."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where the table is outdated')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if update(args.root / 'docs/troubleshooting.md', table(), args.check, 'held') and args.check:
        sys.exit('docs/troubleshooting.md: the memory is not what is counted; run python benchmarks/held_table.py')


def table() -> str:
    """Return one row per setting."""
    rows = [f'| {setting} | {held_mib(overrides):,.0f} |' for setting, overrides in SETTINGS.items()]
    return '\n'.join(['| config | held, MiB |', '| --- | --: |', *rows])


def held_mib(overrides: dict[str, object]) -> float:
    """Return what the baseline holds with ``overrides``, all stages together."""
    from vrtspike.config import load_config
    from vrtspike.engine.fitting import estimate

    held = estimate(load_config(ROOT / 'configs/vrt_spike_baseline.py', overrides=overrides))
    if isinstance(held, str):
        sys.exit(f'{overrides}: {held}')
    return sum(held.values())


if __name__ == '__main__':
    main()
