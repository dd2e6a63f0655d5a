"""Spikes alone: a light network restores grey video from a spike camera without an RGB camera.

Real recordings have far fewer spikes than the demo clips, so it trains at up to 16 times their threshold.

python tools/train.py configs/vrt_spike_alone.py
"""

_base_ = './residual_cnn.py'
model = dict(
    start='spikes',
    spike_encoder=dict(scales=2),  # frames have the size of the spikes: the second map has that of the features
)
_alone = dict(type='SpikesAlone', estimate=dict(type='TFP'))
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=128),  # 64 x 64 spike pixels of the demo clips
            dict(type='PairedRandomFlip'),
            dict(type='RandomThreshold', factors=(1.0, 16.0)),
            _alone,
            _bins,
            dict(type='PackClip'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), _alone, _bins, dict(type='PackClip')])
)
