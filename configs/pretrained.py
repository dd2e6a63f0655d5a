"""The network that ships with the package, and what it was trained on: demo clips of several cameras.

They differ in the size of spike pixels, steps and length of the exposure, noise and threshold, because spike cameras
do. Without a GPU, the training takes about two hours on one core.

python tools/train.py configs/pretrained.py
"""

_base_ = './residual_cnn.py'
_size = dict(type='ResizeSpikes', rgb_per_spike_pixel=2)
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
data = dict(
    type='MixedClips',
    sources=[
        dict(type='DemoClips'),
        dict(type='DemoClips', root='data/demo_more', seed=5, train_clips=240, val_clips=0),
        dict(type='DemoClips', root='data/demo_fast', seed=1, train_clips=240, val_clips=0, speed=1.5),
        dict(type='DemoClips', root='data/demo_33', seed=2, val_clips=0, steps_per_frame=33, noise=0.001),
        dict(
            type='DemoClips',
            root='data/demo_97',
            seed=3,
            val_clips=0,
            steps_per_frame=97,
            rgb_per_spike_pixel=4,
            noise=0.0005,
        ),
        dict(type='DemoClips', root='data/demo_137', seed=4, val_clips=0, steps_per_frame=137, rgb_per_spike_pixel=1),
    ],
)
model = dict(backbone=dict(depths=[10]))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=64),
            dict(type='PairedRandomFlip'),
            dict(type='RandomThreshold', factors=(1.0, 4.0)),
            dict(type='AddSDM'),
            _bins,
            _size,
            dict(type='PackClip'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _bins, _size, dict(type='PackClip')]
    )
)
optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')
train_cfg = dict(max_iters=36_000, val_interval=4000)
