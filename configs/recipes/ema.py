"""Weights averaged over about a thousand steps: validated, and saved as the network's weights.

python tools/train.py configs/recipes/ema.py
"""

_base_ = '../vrt_spike_baseline.py'
# Updated once a step of six iterations; the trained weights are kept beside for --resume.
default_hooks = dict(ema=dict(type='EMAHook', momentum=1e-3, interval=6))
