"""The light student. Spikes are concatenated at full resolution, where that learns faster than cross-attention.

python tools/train.py configs/vrt_spike_lite.py
"""

_base_ = './vrt_spike_baseline.py'
model = dict(
    backbone=dict(_delete_=True, type='VRTLite'),
    spike_encoder=dict(bins=8, channels=16, scales=1),
    tsa=None,
    fusion=dict(_delete_=True, type='ConcatFusion'),
    fusion_stages=[1],
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), _bins, dict(type='PackClip')]
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _bins, dict(type='PackClip')]
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3, betas=(0.9, 0.999)), accumulative_counts=1)
warm_up = dict(max_iters=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end='warm_up'),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin='warm_up'),
]
train_cfg = dict(max_iters=500)
default_hooks = dict(
    clip_pictures=dict(max_clips=None),
    freeze=dict(type='FreezeHook', names=['backbone.flow']),
)
cpu_overrides = dict(_delete_=True)
