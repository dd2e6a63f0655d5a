"""The light student. It corrects the estimate of the spike-guided deblurring model and sees the blurred frame too.

Spikes are concatenated at half the resolution, which is their own: that learns faster than cross-attention.

python tools/train.py configs/vrt_spike_lite.py
"""

_base_ = './vrt_spike_baseline.py'
model = dict(
    start='sdm',
    backbone=dict(_delete_=True, type='VRTLite'),
    spike_encoder=dict(_delete_=True, type='FrameSpikeEncoder', bins=16, channels=32),
    tsa=None,
    fusion=dict(_delete_=True, type='ConcatFusion'),
    fusion_stages=[2],
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=16))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=32),
            dict(type='PairedRandomFlip'),
            dict(type='AddSDM'),
            _bins,
            dict(type='PackClip'),
        ]
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _bins, dict(type='PackClip')]
    ),
)
optim_wrapper = dict(
    type='DeviceAmpOptimWrapper', dtype='auto', optimizer=dict(lr=2e-3, betas=(0.9, 0.999)), accumulative_counts=1
)
warm_up = dict(max_iters=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end='warm_up'),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin='warm_up'),
]
train_cfg = dict(max_iters=600)
default_hooks = dict(
    clip_pictures=dict(max_clips=None),
    freeze=dict(type='FreezeHook', names=['backbone.flow']),
)
cpu_overrides = dict(_delete_=True)
