# Common to the published deblurring networks: six frames, crops of 192, batches of 8; flow and offsets are frozen for
# the first 20,000 iterations.
_base_ = [
    './models/vrt_deblur.py',
    './datasets/clips.py',
    './schedules/vrt_adam_cosine.py',
    './runtime.py',
]
data = dict(type='DemoClips', root='data/demo_6_frames', frames=6)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=1))  # for sources that always have spikes
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        clip_len=6,
        pipeline=[dict(type='PairedRandomCrop', size=192), dict(type='PairedRandomFlip'), _bins, dict(type='PackClip')],
    ),
)
val_dataloader = dict(
    dataset=dict(
        clip_len=6, stride=6, pipeline=[dict(type='PairedCenterCrop', size=None), _bins, dict(type='PackClip')]
    )
)
default_hooks = dict(
    freeze=dict(type='FreezeHook', names=['backbone.spynet', 'backbone.*.pa_deform'], iters=20_000),
)
