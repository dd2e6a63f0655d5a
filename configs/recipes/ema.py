"""A moving average of the weights over about a thousand steps; it is validated and saved.

python tools/train.py configs/recipes/ema.py
"""

_base_ = '../vrt_spike_baseline.py'
# Updated once per step of six iterations. Checkpoints keep the trained weights too, for --resume.
default_hooks = dict(ema=dict(type='EMAHook', momentum=1e-3, interval=6))
