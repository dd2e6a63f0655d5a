"""Crops of 128 pixels, four at a time, for two thirds of the training, then the baseline's 256.

python tools/train.py configs/recipes/progressive_crops.py

A clip of 128 x 128 is a quarter of the work, so that an iteration costs about the same in both phases.
"""

_base_ = '../vrt_spike_baseline.py'
default_hooks = dict(
    crops=dict(
        type='ProgressiveCropsHook', phases=[dict(crop=128, batch_size=4, iters=40_000), dict(crop=256, batch_size=1)]
    )
)
cpu_overrides = {'default_hooks.crops.phases': [dict(crop=16, batch_size=2, iters=6), dict(crop=32, batch_size=1)]}
