# This line selects the data: simulated clips, written at first use. For your own data in the processed layout
#     data = dict(type='ProcessedClips', root='/path/to/clips')
# GoProSpike, X4KSpike, SpikeCVRecording, SpikeZooBase, SSDMGoPro and others read other layouts, see docs/data.md;
# or on the command line  --cfg-options data.type=ProcessedClips data.root=/path/to/clips
data = dict(type='DemoClips')

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='OrdinalSampler'),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ClipDataset',
        split='train',
        clip_len=5,
        pipeline=[
            dict(type='PairedRandomCrop', size=256),
            dict(type='PairedRandomFlip'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ClipDataset',
        split='val',
        clip_len=5,
        stride=5,
        pipeline=[
            dict(type='PairedCenterCrop', size=None),  # the whole frame
            dict(type='AddSDM'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ],
    ),
)
# 'gpu' collects results over the connection of the processes (gloo without GPUs), 'cpu' over files in a shared folder.
val_evaluator = dict(type='RestorationQuality', collect_device='gpu')
