"""Every recipe at once: a distilled half-depth student, progressive crops, frozen flow, EMA, VGG16, accumulation.

python tools/train.py configs/recipes/all.py --amp --cfg-options model.teacher_checkpoint=/path/to/iter_60000.pth \
    model.loss.losses.1.weights=/path/to/vgg16.pth
"""

_base_ = './freeze_flow.py'
model = dict(
    type='DistilledRestorer',
    backbone=dict(depths=[4, 4, 4, 4, 2, 2, 2, 2]),
    teacher='configs/vrt_spike_baseline.py',
    teacher_checkpoint='work_dirs/vrt_spike_baseline/iter_60000.pth',
    feature_weight=0.1,
    loss=dict(
        _delete_=True,
        type='SumLoss',
        losses=[
            dict(type='CharbonnierLoss', delta=1e-3),
            dict(type='PerceptualLoss', weights='weights/vgg16.pth', weight=0.1),
        ],
    ),
)
default_hooks = dict(
    crops=dict(
        type='ProgressiveCropsHook', phases=[dict(crop=128, batch_size=4, ratio=2 / 3), dict(crop=256, batch_size=1)]
    ),
    ema=dict(type='EMAHook', momentum=1e-3, interval=6),
)
cpu_overrides = {'default_hooks.crops.phases': [dict(crop=16, batch_size=2, ratio=0.5), dict(crop=32, batch_size=1)]}
