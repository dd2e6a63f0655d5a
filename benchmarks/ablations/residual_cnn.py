"""A small frame-wise network for comparing fusion heads with many seeds; it trains in a minute on a CPU core.

python tools/train.py benchmarks/ablations/residual_cnn.py
"""

_base_ = '../../configs/vrt_spike_lite.py'
model = dict(
    start='blur',
    backbone=dict(_delete_=True, type='ResidualCNN'),
    spike_encoder=dict(_delete_=True, type='SpikeEncoder3D', bins=8, channels=16, scales=1),
    fusion_stages=[0, 1],
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), _bins, dict(type='PackClip')]
    ),
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _bins, dict(type='PackClip')]
    ),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=1,
)
train_cfg = dict(max_iters=500)
default_hooks = dict(freeze=None, clip_pictures=None, stage_cost=dict(roofline=False))
