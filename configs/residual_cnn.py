"""A network that learns within minutes on a CPU: residual blocks at half the resolution, where the spikes are.

Every frame is restored by itself, so it trains on single frames.

python tools/train.py configs/residual_cnn.py
"""

_base_ = './vrt_spike_baseline.py'
model = dict(
    start='sdm',
    backbone=dict(_delete_=True, type='ResidualCNN', channels=48, depths=[6]),
    spike_encoder=dict(_delete_=True, type='FrameSpikeEncoder', bins=32, channels=48),
    tsa=None,
    fusion=dict(_delete_=True, type='ConcatFusion'),
    fusion_stages=[0],
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        clip_len=1,
        pipeline=[
            dict(type='PairedRandomCrop', size=64),
            dict(type='PairedRandomFlip'),
            dict(type='AddSDM'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ],
    ),
)
val_dataloader = dict(num_workers=0)
optim_wrapper = dict(optimizer=dict(lr=1e-3), accumulative_counts=1)
warm_up = dict(max_iters=40)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end='warm_up'),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin='warm_up'),
]
train_cfg = dict(max_iters=1000)
default_hooks = dict(clip_pictures=dict(max_clips=None))
cpu_overrides = dict(_delete_=True)
