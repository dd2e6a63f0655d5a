"""All stages of the baseline - flow, encoder, TSA, fusion after four stages - narrow and shallow enough for a CPU.

    python tools/train.py configs/vrt_spike_tiny.py

It corrects the estimate of the spike-guided deblurring model and sees the blurred frame too. Spikes are concatenated:
in a run of a few minutes that learns more than cross-attention along time. The flow network keeps its pretrained
weights.
"""

_base_ = './vrt_spike_amp.py'
model = dict(
    start='sdm',
    backbone=dict(
        window_size=[5, 4, 4],
        depths=[2, 2, 2, 2, 1, 1, 1, 1],
        embed_dims=[16] * 8,
        num_heads=[2] * 8,
        deformable_groups=1,
        drop_path_rate=0.0,
        flow_precision='autocast',  # the flow network does most of the arithmetic, and motions are small
        use_checkpoint_attn=False,
        use_checkpoint_ffn=False,
    ),
    spike_encoder=dict(channels=48),
    fusion=dict(_delete_=True, type='ConcatFusion'),
)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
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
optim_wrapper = dict(optimizer=dict(lr=8e-4, betas=(0.9, 0.999)), accumulative_counts=1)
warm_up = dict(max_iters=40)
train_cfg = dict(max_iters=1000)
default_hooks = dict(
    clip_pictures=dict(max_clips=None),
    freeze=dict(type='FreezeHook', names=['backbone.spynet']),
)
cpu_overrides = dict(_delete_=True)
