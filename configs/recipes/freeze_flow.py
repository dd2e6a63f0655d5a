"""Flow and offsets frozen for 20,000 iterations, then trained at an eighth of the learning rate.

python tools/train.py configs/recipes/freeze_flow.py
"""

_base_ = '../vrt_spike_baseline.py'
_slow = dict(lr_mult=0.125)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'spynet': _slow, 'pa_deform': _slow}))
default_hooks = dict(freeze=dict(type='FreezeHook', names=['backbone.spynet', 'backbone.*.pa_deform'], iters=20_000))
cpu_overrides = {'default_hooks.freeze.iters': 6}
