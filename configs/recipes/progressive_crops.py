"""Batches of four crops of 128 pixels for two thirds of the training, then crops of 256 as in the baseline.

python tools/train.py configs/recipes/progressive_crops.py

A clip of 128 x 128 pixels is a quarter of the work, so an iteration costs about the same in both phases.
"""

_base_ = '../vrt_spike_baseline.py'
default_hooks = dict(
    crops=dict(
        type='ProgressiveCropsHook', phases=[dict(crop=128, batch_size=4, ratio=2 / 3), dict(crop=256, batch_size=1)]
    )
)
cpu_overrides = {'default_hooks.crops.phases': [dict(crop=16, batch_size=2, ratio=0.5), dict(crop=32, batch_size=1)]}
