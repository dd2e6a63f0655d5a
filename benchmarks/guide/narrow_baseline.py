"""The baseline a sixth as wide, which learns enough on a CPU to compare the quality of the guide's plans.

    python tools/train.py benchmarks/guide/narrow_baseline.py

Depths, windows and the places of the fusion are the baseline's. It corrects the estimate of the spike-guided
deblurring model, as the tiny network does. The flow network keeps its pretrained weights.
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(
    start='sdm',
    backbone=dict(
        embed_dims=[16] * 8,
        num_heads=[2] * 8,
        deformable_groups=1,
        drop_path_rate=0.0,
        use_checkpoint_attn=False,
        use_checkpoint_ffn=False,
    ),
    spike_encoder=dict(channels=48),
    fusion=dict(time_slope=6.0),
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
train_dataloader = dict(
    batch_size=2,
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
val_dataloader = dict(num_workers=0)
optim_wrapper = dict(optimizer=dict(lr=8e-4, betas=(0.9, 0.999)), accumulative_counts=1)
warm_up = dict(max_iters=40)
train_cfg = dict(max_iters=400)
default_hooks = dict(freeze=dict(type='FreezeHook', names=['backbone.spynet']))
cpu_overrides = dict(_delete_=True)
