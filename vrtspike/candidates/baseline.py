"""The part of ``vrt_spike_baseline.py`` that candidates read. Advice on a log without a config is based on it."""

from __future__ import annotations

from typing import Any

CHUNKS = {'adaptive_chunk': True, 'max_batch_tokens': 49152, 'chunk_size': 64}

BASELINE: dict[str, Any] = {
    'model': {
        'backbone': {
            'type': 'VRT',
            'window_size': [5, 8, 8],
            'depths': [8, 8, 8, 8, 4, 4, 4, 8],
            'embed_dims': [96] * 8,
            'num_heads': [6] * 8,
            'deformable_groups': 16,
            'use_checkpoint_attn': True,
            'use_checkpoint_ffn': True,
        },
        'spike_encoder': {'channels': 96},
        'tsa': {'heads': 4, **CHUNKS},
        'fusion': {'heads': 4, **CHUNKS},
        'fusion_stages': [1, 2, 3, 4],
    },
    'train_dataloader': {'batch_size': 1, 'num_workers': 4},
    'optim_wrapper': {'type': 'OptimWrapper', 'accumulative_counts': 6},
    'train_cfg': {'max_iters': 60_000, 'val_interval': 1000},
    'default_hooks': {'logger': {'interval': 50}, 'checkpoint': {'interval': 1000}},
}
"""A test compares these values with the baseline."""
