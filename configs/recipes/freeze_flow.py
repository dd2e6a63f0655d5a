"""Flow and offsets held still for 20,000 iterations, then trained at an eighth of the learning rate.

python tools/train.py configs/recipes/freeze_flow.py
"""

_base_ = '../vrt_spike_baseline.py'
_slow = dict(lr_mult=0.125)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'spynet': _slow, 'pa_deform': _slow}))
custom_hooks = [
    dict(type='NetworkSummaryHook'),
    dict(type='ClipPicturesHook', max_clips=20),
    dict(type='TrainingReportHook'),
    dict(type='FlopsHook'),
    dict(type='StageCostHook', interval=10),
    dict(type='FreezeHook', names=['backbone.spynet', 'backbone.*.pa_deform'], iters=20_000),
]
cpu_overrides = {'custom_hooks.5.iters': 6}
