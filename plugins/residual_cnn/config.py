"""A network of frame-wise residual blocks that learns in a minute on a CPU core, to compare fusion heads in.

python tools/train.py plugins/residual_cnn/config.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
plugins = ['residual_cnn']
model = dict(
    backbone=dict(_delete_=True, type='ResidualCNN'),
    spike_encoder=dict(bins=8, channels=16, scales=1),
    tsa=None,
    fusion=dict(_delete_=True, type='ConcatFusion'),
    fusion_stages=[0, 1],
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))
_crop = dict(type='PairedRandomCrop', size=32)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=[_crop, dict(type='PairedRandomFlip'), _bins, dict(type='PackClip')]),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), _bins, dict(type='PackClip')]),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3, betas=(0.9, 0.999)), accumulative_counts=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=20),
]
train_cfg = dict(max_iters=500)
custom_hooks = [
    dict(type='NetworkSummaryHook'),
    dict(type='TrainingReportHook'),
    dict(type='FlopsHook'),
    dict(type='StageCostHook', interval=10, roofline=False),
]
cpu_overrides = dict(_delete_=True)
