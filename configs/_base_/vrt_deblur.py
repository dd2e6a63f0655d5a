# What the published deblurring networks have in common: six frames, crops of 192, batch 8 in all.
_base_ = [
    './models/vrt_deblur.py',
    './datasets/clips.py',
    './schedules/vrt_adam_cosine.py',
    './runtime.py',
]
data = dict(type='DemoClips', root='data/demo_6_frames', frames=6)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=1))  # nothing reads them
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
custom_hooks = [
    dict(type='FreezeHook', names=['backbone.spynet', 'backbone.*.pa_deform'], iters=20_000),
    dict(type='NetworkSummaryHook'),
    dict(type='ClipPicturesHook', max_clips=20),
    dict(type='TrainingReportHook'),
    dict(type='FlopsHook'),
    dict(type='StageCostHook', interval=10),
]
cpu_overrides = {
    '_delete_': True,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 1,
    'train_dataloader.dataset.pipeline.0.size': 32,
    'val_dataloader.dataset.pipeline.0.size': 96,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.max_iters': 12,
    'default_hooks.logger.interval': 1,
    'custom_hooks.5.interval': 2,
    'custom_hooks.3.note': 'This run checks the installation: {iterations} iterations on a CPU train nothing.',
}
